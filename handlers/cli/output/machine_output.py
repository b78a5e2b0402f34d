"""A stack on a terminal: its ``/api/status``, and what its machine has or lacks."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table

from handlers.cli.doctor_checks import Check
from handlers.cli.output.text import plain, write_json
from handlers.client.drop_progress import count_of

MARKS = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "missing": "[red]missing[/red]"}


def show_status(status: dict[str, Any], *, as_json: bool) -> None:
    """A page for people, or the document for scripts."""
    if as_json:
        write_json(status)
        return
    console = Console()
    console.print(_facts(status))
    if status.get("waiting"):  # a follower has none of this
        console.print(_waiting(status))
    for title, entries in (("rejected lately", status.get("rejected")), ("errors", status["errors"])):
        if entries:
            console.print(f"\n[bold]{title}[/bold]")
        for entry in (entries or ())[:5]:
            where = entry.get("key") or entry.get("where")
            console.print(plain(f"  {entry['at']}  {where}: {entry.get('reason') or entry.get('message')}"))


def _facts(status: dict[str, Any]) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_row("served version", _version(status["served_version"]))
    copy = status.get("serving_copy")  # an older updater tells none
    if copy is not None:
        facts.add_row("answers with", f"{copy['copy']}, {copy['speed']:.1f} times as fast as the published network")
    if status["current_version"] != status["served_version"]:
        facts.add_row("wanted version", _version(status["current_version"]))
    if status["server_error"]:
        facts.add_row("server", plain(status["server_error"], "red"))
    store = status["store"]
    facts.add_row("store", plain(store["url"]) if store["ok"] else plain(f"{store['url']}: {store['error']}", "red"))
    lease = status.get("lease")
    if lease is not None and lease["state"] == "standby":
        facts.add_row("updater", plain(f"standby: {lease['holder'] or 'another one'} is active", "yellow"))
    phase = status.get("phase")
    if lease is None:
        facts.add_row("phase", "none: this follower serves what another stack learns")
    elif phase is None:
        facts.add_row("phase", "none is running")
    else:
        facts.add_row("phase", plain(describe_phase(phase)))
        facts.add_row("", ProgressBar(total=1.0, completed=phase["progress"], width=40))
    last = status.get("last_update")
    if last is not None:
        facts.add_row("last update", plain(", ".join(f"{key} {value}" for key, value in last.items() if _short(value))))
    return facts


def describe_phase(phase: dict[str, Any]) -> str:
    """Update, step, epoch or image, time left and the classes that are learnt, in one line."""
    parts = [f"update {phase['update']}", phase["step"]]
    if phase["epochs"]:
        parts.append(count_of(phase))
    if phase.get("seconds_left") is not None:
        parts.append(f"about {phase['seconds_left']:.0f} s left")
    if phase["new_classes"]:
        parts.append("learning " + ", ".join(phase["new_classes"][:10]))
    return ", ".join(parts)


def _waiting(status: dict[str, Any]) -> Table:
    table = Table("class", "images", "state", "why", box=None, header_style="bold", title_justify="left")
    for entry in status["waiting"][:50]:
        table.add_row(plain(entry["class"]), str(entry["images"]), entry["state"], plain(entry["reason"]))
    hidden = status["waiting_total"] - min(50, len(status["waiting"]))
    if hidden > 0:
        table.add_row(f"... and {hidden} more", "", "", "")
    return table


def _version(version: int | None) -> str:
    return "none yet" if not version else str(version)


def _short(value: object) -> bool:
    return isinstance(value, str | int | float) and value != ""


def show_checks(checks: Sequence[Check], *, as_json: bool) -> None:
    """A table or JSON; ends with status 1 when something is missing."""
    if as_json:
        write_json([asdict(check) for check in checks])
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for check in checks:
            table.add_row(MARKS[check.state], check.name, plain(check.detail))
            if check.remedy:
                table.add_row("", "", plain(f"-> {check.remedy}", "bold"))
        Console().print(table)
    if any(check.state == "missing" for check in checks):
        raise typer.Exit(1)
