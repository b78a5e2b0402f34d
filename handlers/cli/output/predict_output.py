"""Answers of the service on a terminal."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.progress import track
from rich.table import Table

from handlers.cli.output.text import plain, write_json
from handlers.client.predictions import Answer

MANY = 10
"""Images for which a person waits long enough to want to see how far it is."""


def collect(answers: Iterable[Answer], total: int) -> list[Answer]:
    """All of them; on a terminal a bar shows how far it is."""
    console = Console(stderr=True)
    hidden = total < MANY or not console.is_terminal
    return list(track(answers, "asking", total, console=console, transient=True, disable=hidden))


def show(answers: Sequence[Answer], *, as_json: bool) -> None:
    """A table and a summary for people, or a JSON list for scripts."""
    if as_json:
        documents = [
            {"image": answer.image, **answer.document, **({"error": answer.error} if answer.error else {})}
            for answer in answers
        ]
        write_json(documents)
        return
    table = Table(box=None, header_style="bold")
    table.add_column("image", overflow="fold")  # an ellipsis would make two rows look alike
    for head in ("class", "probability", "others", "version"):
        table.add_column(head)
    for name, answer in zip(short_names([answer.image for answer in answers]), answers, strict=True):
        table.add_row(plain(name), *_cells(answer))
    console = Console()
    console.print(table)
    if len(answers) > 1:
        console.print(plain(summary(answers)))


def short_names(paths: Sequence[str]) -> list[str]:
    """The paths without the folders that all of them share, so that what tells them apart is seen."""
    if len(paths) < 2:
        return list(paths)
    shared = os.path.commonpath([Path(path).absolute().parent for path in paths])
    return [str(Path(path).absolute().relative_to(shared)) for path in paths]


def summary(answers: Sequence[Answer]) -> str:
    """How many images are of which class: ``12 images: cat 7, dog 4, unknown 1; 2 without an answer``."""
    answered = [answer for answer in answers if not answer.error]
    counts = Counter(answer.best.name for answer in answered if not answer.unknown).most_common()
    unknown = sum(bool(answer.unknown) for answer in answered)
    named = [f"{name} {count}" for name, count in counts] + ([f"unknown {unknown}"] if unknown else [])
    failed = len(answers) - len(answered)
    parts = [", ".join(named)] * bool(named) + [f"{failed} without an answer"] * bool(failed)
    return f"{len(answers)} images: {'; '.join(parts)}"


def _cells(answer: Answer) -> tuple[RenderableType, ...]:
    if answer.error:
        return plain(answer.error, "red"), "", "", ""
    others, name = answer.predictions[1:], plain(answer.best.name, "bold")
    probability = f"{answer.best.probability:.1%}"
    if answer.unknown:
        score = "" if answer.unknown_score is None else f" (score {answer.unknown_score:.2f})"
        others, name, probability = answer.predictions, plain(f"unknown{score}", "yellow"), ""
    rest = ", ".join(f"{other.name} {other.probability:.0%}" for other in others)
    return name, probability, plain(rest, "dim"), str(answer.version)
