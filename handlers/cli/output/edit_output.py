"""Edits on a terminal: the question before, and with --wait what became of it."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from rich.console import Console

from handlers.bucket.edit_documents import EditAnswer, Operation
from handlers.bucket.edit_requests import RequestState
from handlers.cli.errors import USAGE, CommandError
from handlers.cli.output.text import plain
from handlers.client import Client

SHOWN = 20
"""Keys that are listed; ``--json`` has all."""


@dataclass(frozen=True)
class EditCommand:
    """The command line; ``wait_seconds`` is None without --wait."""

    operation: Operation
    wait_seconds: float | None
    as_json: bool


def run(client: Client, command: EditCommand) -> None:
    """Request it. Raises ``CommandError``, ``ClientError`` or ``StoreError``."""
    console = Console(stderr=command.as_json)
    running = client.connection.record is not None
    request = client.request(command.operation)
    state = RequestState(state="waiting")
    if command.wait_seconds is not None:
        deadline = time.monotonic() + command.wait_seconds
        with console.status(f"waiting for the updater to {command.operation}".replace("[", "\\[")):
            state = client.wait_edit(request, command.wait_seconds)
            done = state.done
            if running and done is not None and done.result == "published" and done.version is not None:
                client.wait_served(done.version, max(1.0, deadline - time.monotonic()))
    if command.as_json:
        document = {"request": request.id, **state.model_dump(mode="json")}
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    else:
        _show(console, state, running=running)
    if state.done is not None and state.done.result != "published":
        raise CommandError(f"{state.done.result}: {state.done.reason or 'no reason is recorded'}")


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person; a script says --yes. Raises ``CommandError``."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("this cannot be undone: add --yes", USAGE)
    if not typer.confirm(question, err=True):
        raise CommandError("nothing was changed")


def _show(console: Console, state: RequestState, *, running: bool) -> None:
    if state.done is None:
        later = "the updater takes it up within seconds" if running else "it will be done when `lucir up` runs"
        console.print(f"requested: {later}")
        return
    if state.done.result == "published":
        version = f"version {state.done.version} is published" if state.done.version else "done"
        console.print(f"[green]{version}[/green]")
    if state.answer is not None:
        _show_answer(console, state.answer)


def _show_answer(console: Console, answer: EditAnswer) -> None:
    if answer.exemplars_removed or answer.held_out_removed:
        console.print(f"{answer.exemplars_removed} exemplars and {answer.held_out_removed} held-out images are gone")
    _keys(console, "stored files that hold its images (--delete-originals deletes them)", answer.files)
    _keys(console, "deleted", answer.deleted)
    _keys(console, "left alone, because something else lies there now", answer.left)
    if answer.versions:
        numbers = ", ".join(map(str, answer.versions))
        console.print(f"earlier versions that still hold such images: {numbers} (lucir prune removes old versions)")
    for note in answer.notes:
        console.print(plain(f"note: {note}", "yellow"))


def _keys(console: Console, what: str, keys: Sequence[Any]) -> None:
    if not keys:
        return
    console.print(f"{what}: {len(keys)}")
    for key in keys[:SHOWN]:
        console.print(plain(f"  {key}"))
    if len(keys) > SHOWN:
        console.print(f"  ... and {len(keys) - SHOWN} more: --json lists all")
