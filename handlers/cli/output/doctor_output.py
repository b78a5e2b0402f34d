"""How the checks are shown."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from handlers.cli.doctor_checks import Check
from handlers.cli.output.text import plain

MARKS = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "missing": "[red]missing[/red]"}


def show(checks: Sequence[Check], *, as_json: bool) -> None:
    """A table or JSON; ends with status 1 when something is missing."""
    if as_json:
        sys.stdout.write(json.dumps([asdict(check) for check in checks], ensure_ascii=False, indent=2) + "\n")
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for check in checks:
            table.add_row(MARKS[check.state], check.name, plain(check.detail))
            if check.remedy:
                table.add_row("", "", plain(f"-> {check.remedy}", "bold"))
        Console().print(table)
    if any(check.state == "missing" for check in checks):
        raise typer.Exit(1)
