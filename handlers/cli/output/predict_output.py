"""Answers of the service on a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from handlers.cli.output.text import plain, write_json
from handlers.client.predictions import Answer


def show(answers: Sequence[Answer], *, as_json: bool) -> None:
    """A table for people, or a JSON list for scripts."""
    if as_json:
        documents = [
            {"image": answer.image, **answer.document, **({"error": answer.error} if answer.error else {})}
            for answer in answers
        ]
        write_json(documents)
        return
    table = Table("image", "class", "probability", "others", "version", box=None, header_style="bold")
    for answer in answers:
        if answer.error:
            table.add_row(plain(answer.image), plain(answer.error, "red"), "", "", "")
            continue
        others, name = answer.predictions[1:], plain(answer.best.name, "bold")
        probability = f"{answer.best.probability:.1%}"
        if answer.unknown:
            score = "" if answer.unknown_score is None else f" (score {answer.unknown_score:.2f})"
            others, name, probability = answer.predictions, plain(f"unknown{score}", "yellow"), ""
        rest = ", ".join(f"{other.name} {other.probability:.0%}" for other in others)
        table.add_row(plain(answer.image), name, probability, plain(rest, "dim"), str(answer.version))
    Console().print(table)
