"""The versions of a store as a table or as JSON."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from handlers.cli.text import plain
from model_store.manifest import Evaluation, Manifest
from model_store.objects import ObjectNotFoundError, ObjectStore, StoreError
from model_store.versions import VersionStore

COLUMNS = (
    ("", 2),
    ("version", 7),
    ("kind", len("provisional,")),
    ("created", len("11-21 08:25")),
    ("classes", 7),
    ("new", 8),
    ("all", 6),
    ("old", 6),
    ("new", 6),
    ("lost", 5),
)
"""Of the table, with the widths that nothing is cut off from: 79 with the gaps, so that 80 columns hold it."""


def collect(objects: ObjectStore) -> list[dict[str, Any]]:
    """One row per version, newest last. A version that is damaged has an ``error`` instead of its figures."""
    versions = VersionStore(objects)
    pointer = versions.current()
    rows = []
    for number in versions.numbers():
        row: dict[str, Any] = {"version": number, "current": pointer is not None and pointer.version == number}
        try:
            row |= _describe(versions.manifest(number), _evaluation(versions, number))
        except StoreError as error:
            row["error"] = str(error)
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """A table for people, or a JSON list for scripts."""
    if as_json:
        sys.stdout.write(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
        return
    console = Console()
    if not rows:
        console.print("no version yet: drop at least two class folders (lucir drop FOLDER)")
        return
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0), collapse_padding=True)
    for name, width in COLUMNS:
        table.add_column(name, min_width=width)
    for row in rows:
        mark = "[green]->[/green]" if row["current"] else ""
        if "error" in row:
            table.add_row(mark, str(row["version"]), plain(row["error"], "red"))
            continue
        table.add_row(
            mark,
            str(row["version"]),
            row["kind"] + (", [red]refused[/red]" if row["gate_passed"] is False else ""),
            row["created_at"][5:16].replace("T", " "),
            str(len(row["classes"])),
            plain(_names(row["new_classes"])),
            *(_percent(row[name]) for name in ("accuracy", "old_accuracy", "new_accuracy", "forgetting")),
        )
    console.print(table)


def _evaluation(versions: VersionStore, number: int) -> Evaluation | None:
    try:
        return versions.evaluation(number)
    except ObjectNotFoundError:
        return None


def _describe(manifest: Manifest, evaluation: Evaluation | None) -> dict[str, Any]:
    measured = None if evaluation is None else getattr(evaluation, manifest.readout)
    return {
        "kind": manifest.kind,
        "created_at": manifest.created_at.isoformat(),
        "parent": manifest.parent,
        "method": manifest.method,
        "classes": list(manifest.classes),
        "new_classes": list(manifest.new_classes),
        "updated_classes": list(manifest.updated_classes),
        "accuracy": measured.all if measured else None,
        "old_accuracy": measured.old if measured else None,
        "new_accuracy": measured.new if measured else None,
        "forgetting": evaluation.forgetting if evaluation else None,
        "gate_passed": evaluation.gate.passed if evaluation else None,
        "gate_reasons": list(evaluation.gate.reasons) if evaluation else [],
    }


def _names(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
