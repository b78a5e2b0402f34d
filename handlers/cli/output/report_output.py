"""A version's report on a terminal, as JSON, or written out as a page."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from handlers.bucket.report_document import Report
from handlers.cli.output.text import measured, percent, plain, write_json

SHOWN = 20
"""Rows of each table; the page and ``--json`` have more."""

GATE = {
    "passed": "[green]passed the gate[/green]",
    "refused": "[red]refused by the gate[/red]",
    "inconclusive": "[yellow]inconclusive: too few images to tell[/yellow]",
}


def show(report: Report, html: Path | None, *, as_json: bool) -> None:
    """The report, and where its page was written."""
    if as_json:
        write_json(json.loads(report.model_dump_json()))
        return
    console = Console()
    _show_figures(report, console)
    _show_tables(report, console)
    if html is not None:
        console.print(plain(f"the page with images is {html}"))


def _show_figures(report: Report, console: Console) -> None:
    kept = report.refinement is not None and report.gate.answer == "refused"
    gate = "refined and kept, not served" if kept else GATE[report.gate.answer]
    parent = f"from version {report.parent}" if report.parent is not None else "the first one"
    console.print(f"[bold]version {report.version}[/bold], {report.kind}, {parent}: {gate}")
    if report.asked:
        console.print(plain(f"asked for: {report.asked}"))
    for reason in (*report.gate.reasons, *report.gate.undecided):
        console.print(plain(reason, "red"))
    if report.refinement is not None:
        console.print(
            plain(f"its backbone was refined with {report.refinement.learnt_from} images: {report.refinement}")
        )
    figures = report.accuracy
    console.print(
        f"accuracy {measured(figures.all, figures.interval, figures.images)} over all classes; "
        f"old classes {percent(figures.before_old)} before, {percent(figures.old)} now; "
        f"new classes {percent(figures.new)}; forgetting {percent(figures.forgetting)}"
    )


def _show_tables(report: Report, console: Console) -> None:
    rows = [(row.name, row.trained, row.held_out, row.rejected) for row in report.incoming]
    _table(console, ("came in", "trained on", "held out", "rejected"), rows)
    _table(console, ("rejected", "why"), [(row.count, row.reason) for row in report.rejections])
    changes = [(row.name, row.images, percent(row.before), percent(row.after)) for row in report.classes]
    _table(console, ("class", "images", "before", "now"), changes)
    _table(
        console,
        ("is", "was taken for", "images"),
        [(row.true, row.predicted, row.count) for row in report.confusions],
    )
    if report.advice is not None:
        console.print(f"on these images {report.advice}", highlight=False)
    if report.doubts is not None:
        suspects = [(row.key or "", row.name, row.looks_like) for row in report.doubts.mislabelled]
        _table(console, ("looks mislabelled", "is labelled", "looks like"), suspects)
        same = [(row.key or "", row.name, row.other_key or "", row.other) for row in report.doubts.duplicates]
        _table(console, ("image", "class", "looks the same as", "of class"), same)
        alike = [(row.name, row.other, percent(row.share)) for row in report.doubts.lookalikes]
        _table(console, ("class", "may be taken for", "share"), alike)


def _table(console: Console, heads: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    if not rows:
        return
    table = Table(*heads, box=None, header_style="bold", pad_edge=False)
    for row in rows[:SHOWN]:
        table.add_row(*(plain(str(cell)) for cell in row))
    console.print()
    console.print(table)
    if len(rows) > SHOWN:
        console.print(f"... and {len(rows) - SHOWN} more: --json or --html")
