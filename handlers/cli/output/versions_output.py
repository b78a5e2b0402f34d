"""The versions of a store, and going back to one."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from handlers.cli.output.text import measured, percent, plain, write_json
from handlers.client.served_version import RolledBack
from handlers.client.version_list import VersionRow

COLUMNS = (
    ("", 2),
    ("version", 7),
    ("kind", len("learnt,")),
    ("created", len("created")),
    ("classes", 7),
    ("new", 6),
    ("all", len("(95.4-100.0,")),
    ("old", 6),
    ("new", 6),
    ("lost", len("-68.8%")),
)
"""Of the table, with the least widths: 75 with the gaps, so that 80 columns hold it with names of usual length."""

MARKS = {"refused": ", [red]refused[/red]", "inconclusive": ", [yellow]unsure[/yellow]"}
"""Beside the kind, by the gate's answer."""


def show(rows: Sequence[VersionRow], *, as_json: bool) -> None:
    """A table for people, or a JSON list for scripts."""
    if as_json:
        write_json([row.document() for row in rows])
        return
    console = Console()
    if not rows:
        console.print("no version yet: drop at least two class folders (lucir drop FOLDER)")
        return
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0), collapse_padding=True)
    for name, width in COLUMNS:
        table.add_column(name, min_width=width)
    for row in rows:
        mark = "[green]->[/green]" if row.current else ""
        if row.error:
            table.add_row(mark, str(row.version), plain(row.error, "red"))
            continue
        table.add_row(
            mark,
            str(row.version),
            ("refined" if row.refinement is not None else row.kind) + _mark(row),
            row.created_at[5:16].replace("T", "\n"),
            str(len(row.classes)),
            plain(_names(row.new_classes)),
            _overall(row),
            *(percent(getattr(row, name), none="") for name in ("old_accuracy", "new_accuracy", "forgetting")),
        )
    console.print(table)
    for row in rows:
        if row.kind == "edited" or (row.refinement is not None and row.gate_passed):
            console.print(plain(f"version {row.version}: {row.changed}"))
        if row.current and row.serving_copy is not None:
            copy = row.serving_copy
            speed = f"{copy['speed']:.1f} times as fast as published"
            console.print(f"version {row.version} answers here with its copy {copy['copy']}, {speed}")
    newest = next((row for row in reversed(rows) if not row.error), None)
    for row in rows:
        if row.gate in MARKS and (row.current or row is newest):
            word = "kept" if _is_kept(row) else row.gate
            console.print(plain(f"version {row.version}, {word}: {'; '.join(row.gate_reasons)}"))


def show_rollback(result: RolledBack, *, as_json: bool) -> None:
    """Which version is served now, or will be."""
    if as_json:
        write_json(asdict(result))
    elif result.served is None:
        Console().print(
            f"every server of this store is told to serve version {result.version}: one that runs does so within "
            "seconds, one that does not when it starts"
        )
    else:
        Console().print(f"[green]version {result.version} is served[/green]")


def _is_kept(row: VersionRow) -> bool:
    """A refined version that is not served is nothing to worry about."""
    return row.refinement is not None and row.gate == "refused"


def _mark(row: VersionRow) -> str:
    return ", kept" if _is_kept(row) else MARKS.get(row.gate, "")


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _overall(row: VersionRow) -> str:
    """On three lines, which 80 columns hold."""
    if row.accuracy is None:
        return ""
    return measured(row.accuracy, row.interval, row.images).replace(" ", "\n", 2)
