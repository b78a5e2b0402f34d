"""What ``lucir predict`` does: POST each image, show the answers."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from handlers.cli import service
from handlers.cli.text import plain

PREDICTIONS = "/predictions/lucir"
TOP_K_HEADER = "top-k"


@dataclass(frozen=True)
class Answer:
    """What the service said about one image: its document, or why there is none."""

    image: str
    document: dict[str, Any]
    error: str = ""


def classify(url: str, images: Sequence[Path], top_k: int | None) -> list[Answer]:
    """One answer per image, in order. Raises ``CommandError`` when nobody answers at ``url``."""
    headers = {"content-type": "application/octet-stream"} | ({TOP_K_HEADER: str(top_k)} if top_k else {})
    answers = []
    with service.client(url) as session:
        for image in images:
            try:
                data = image.read_bytes()
            except OSError as error:
                answers.append(Answer(str(image), {}, f"cannot be read: {error.strerror}"))
                continue
            try:
                response = session.post(PREDICTIONS, content=data, headers=headers)
            except httpx.HTTPError as error:
                raise service.no_answer(url, error) from None
            answers.append(_read(str(image), response))
    return answers


def show(answers: Sequence[Answer], *, as_json: bool) -> None:
    """A table for people, or a JSON list for scripts."""
    if as_json:
        documents = [
            {"image": answer.image, **answer.document, **({"error": answer.error} if answer.error else {})}
            for answer in answers
        ]
        sys.stdout.write(json.dumps(documents, ensure_ascii=False, indent=2) + "\n")
        return
    table = Table("image", "class", "probability", "others", "version", box=None, header_style="bold")
    for answer in answers:
        if answer.error:
            table.add_row(plain(answer.image), plain(answer.error, "red"), "", "", "")
            continue
        best, *others = answer.document["predictions"]
        rest = ", ".join(f"{other['class']} {other['probability']:.0%}" for other in others)
        table.add_row(
            plain(answer.image),
            plain(best["class"], "bold"),
            f"{best['probability']:.1%}",
            plain(rest, "dim"),
            str(answer.document["model_version"]),
        )
    Console().print(table)


def _read(image: str, response: httpx.Response) -> Answer:
    try:
        document = response.json()
    except ValueError:
        document = {}
    if response.is_success and isinstance(document, dict) and document.get("predictions"):
        return Answer(image, document)
    message = document.get("error") or document.get("message") if isinstance(document, dict) else None
    return Answer(image, {}, str(message or f"the service answered {response.status_code}: {response.text[:200]}"))
