"""``lucir class`` and ``lucir image``: ask a person, request the edit, and with --wait follow it."""

import sys
import time

import typer
from rich.console import Console

from handlers.bucket.edit_documents import EditRequest, Operation
from handlers.bucket.edit_requests import RequestState
from handlers.cli.errors import USAGE, CommandError
from handlers.cli.output.drop_output import show_progress
from handlers.cli.output.edit_output import show
from handlers.cli.output.text import plain
from handlers.client import Client

ROLLBACK = "lucir rollback VERSION undoes it"
FOR_GOOD = "deleted originals cannot be had back; lucir rollback VERSION undoes the rest"


def run_edit(client: Client, operation: Operation, wait_seconds: float | None, *, as_json: bool) -> None:
    """Request it; ``wait_seconds`` is None without --wait. Raises ``CommandError``, ``ClientError``, ``StoreError``."""
    console = Console(stderr=as_json)
    running = client.connection.runs_here
    request = client.request(operation)
    state = RequestState(state="waiting")
    if wait_seconds is not None:
        deadline = time.monotonic() + wait_seconds
        with console.status(f"waiting for the updater to {operation}".replace("[", "\\[")):
            state = client.wait_edit(request, wait_seconds)
            done = state.done
            if running and done is not None and done.result == "published" and done.version is not None:
                client.wait_served(done.version, max(1.0, deadline - time.monotonic()))
    show(request.id, state, console, who=client.connection.who_works("done"), as_json=as_json)
    if state.done is not None and state.done.result != "published":
        raise CommandError(f"{state.done.result}: {state.done.reason or 'no reason is recorded'}")


def run_relearn(client: Client, request: EditRequest, wait_seconds: float | None, *, as_json: bool) -> None:
    """Follow a request that learns. Raises ``CommandError``, ``ClientError`` or ``StoreError``."""
    console = Console(stderr=as_json)
    if wait_seconds is not None and client.connection.runs_here:
        show_progress(client.follow_edit(request, wait_seconds), console)
    state = client.edit_state(request) if wait_seconds is None else client.wait_edit(request, wait_seconds)
    show(request.id, state, console, who=client.connection.who_works("done"), as_json=as_json)
    if state.done is None:
        return
    reason = state.done.reason or "no reason is recorded"
    if state.done.result != "published":
        raise CommandError(f"{state.done.result}: {reason}")
    if state.done.reason is not None and not as_json:
        console.print(plain(f"too few images tell what it is worth: {reason}", "yellow"))


def confirm(question: str, after: str, *, yes: bool) -> None:
    """Ask a person, who is told what can be had back ``after``; a script says --yes. Raises ``CommandError``."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"nothing was changed: there is no terminal to ask at, so add --yes ({after})", USAGE)
    if not typer.confirm(f"{question} ({after})", err=True):
        raise CommandError("nothing was changed")
