"""The classifier as TorchServe's worker calls it, without TorchServe."""

import json
import warnings
from pathlib import Path
from typing import Any

from handlers.classifier import Classifier

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TorchServe leaves a file open when it is imported
    from ts.context import Context, RequestProcessor
    from ts.protocol import otf_message_handler

__all__ = ["ask", "otf_message_handler", "started"]


def started(folder: Path, slot: int | None = None) -> Classifier:
    """``slot``: the number that TorchServe has registered the folder with."""
    manifest = None if slot is None else {"model": {"modelVersion": str(slot)}}
    instance = Classifier()
    instance.initialize(Context("lucir", str(folder), manifest, 8, None, "0.12.0"))
    return instance


def ask(
    instance: Classifier, *fields: dict[str, Any], headers: dict[str, Any] | None = None
) -> list[tuple[int, dict[str, Any]]]:
    """Status and document of each answer, through TorchServe's own context."""
    context = Context("lucir", "", None, 8, None, "0.12.0")
    context.request_processor = [RequestProcessor(headers or {}) for _ in fields]
    answers = instance.handle(list(fields), context)
    for index in range(len(fields)):
        assert context.get_response_content_type(index) == "application/json"
    return [(context.get_response_status(i)[0], json.loads(answer)) for i, answer in enumerate(answers)]
