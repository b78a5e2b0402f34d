"""Reading how TorchServe describes our model: one place for its words, for the reconciler and for health checks.

The standard library alone: a container's health check starts a new process every few seconds and imports this.
"""

from collections.abc import Iterator
from typing import Any, Final

from handlers.inference.open_inference import MODEL_NAME

MODEL_PATH: Final = f"/models/{MODEL_NAME}"
"""Of the management API. Without a version: the one that is served by default."""
PREDICTIONS_PATH: Final = f"/predictions/{MODEL_NAME}"
READY: Final = "READY"
DRAINING_MARKER: Final = "draining"
"""A file beside the management socket: the server answers and is about to stop (``frontend.drain``)."""


def model_items(document: Any) -> list[dict[str, Any]]:
    """The versions in TorchServe's description of a model. Raises ``ValueError`` for a document of another form."""
    if not isinstance(document, list) or not all(
        isinstance(item, dict) and isinstance(item.get("workers"), list) for item in document
    ):
        raise ValueError(f"the serving engine described its model as {str(document)[:200]}")
    return document


def worker_problem(document: Any) -> str:
    """Why no worker of the described version is ready; empty when one is. Raises ``ValueError`` as ``model_items``."""
    states = list(_states(model_items(document)))
    return "" if READY in states else f"no worker is ready ({', '.join(states) or 'none'})"


def _states(items: list[dict[str, Any]]) -> Iterator[str]:
    return (str(worker.get("status")) for item in items for worker in item["workers"])
