"""What ``lucir class`` and ``lucir image`` do: write a request down, and with --wait follow it to its end."""

import hashlib
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from handlers.bucket.edit_documents import MOST_IMAGES, EditAnswer, Operation
from handlers.bucket.edit_requests import EditDesk, RequestState
from handlers.bucket.edit_rules import EditError
from handlers.bucket.layout import ARCHIVE, REJECTED
from handlers.bucket.updates import UpdateRecords
from handlers.cli import service
from handlers.cli.errors import USAGE, CommandError
from handlers.cli.rollback_run import wait_served
from handlers.cli.text import plain
from model_store.objects import ObjectNotFoundError, ObjectStore

POLL_SECONDS = 0.25
SHOWN = 20
"""Keys that are listed; ``--json`` has all."""
LARGEST = 1 << 30
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class EditCommand:
    """The command line; ``wait_seconds`` is None without --wait."""

    operation: Operation
    wait_seconds: float | None
    as_json: bool


def run(command: EditCommand, data: Path | None, store: str | None, config: Path | None) -> None:
    """Request it. Raises ``CommandError`` or ``StoreError``."""
    settings, record = service.locate(data, store, config)
    objects = service.existing_store(settings)
    desk = EditDesk(objects, UpdateRecords(objects))
    console = Console(stderr=command.as_json)
    try:
        request = desk.submit(command.operation)
    except EditError as error:
        raise CommandError(str(error)) from None
    state = RequestState(state="waiting")
    if command.wait_seconds is not None:
        deadline = time.monotonic() + command.wait_seconds
        with console.status(f"waiting for the updater to {command.operation}".replace("[", "\\[")):
            state = _follow(desk, request.id, deadline)
            done = state.done
            if record is not None and done is not None and done.result == "published" and done.version is not None:
                url = service.updater_url(settings, record)
                wait_served(url, done.version, max(1.0, deadline - time.monotonic()))
    if command.as_json:
        document = {"request": request.id, **state.model_dump(mode="json")}
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    else:
        _show(console, state, running=record is not None)
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


def hashes_of(images: Sequence[str], data: Path | None, store: str | None, config: Path | None) -> tuple[str, ...]:
    """The sha256 of each image. Raises ``CommandError`` for what is neither a file, a stored key nor a hash."""
    settings, _ = service.locate(data, store, config)
    objects = service.existing_store(settings)
    hashes = tuple(dict.fromkeys(_hash_of(objects, image) for image in images))
    if len(hashes) > MOST_IMAGES:
        raise CommandError(f"{len(hashes)} images at once; at most {MOST_IMAGES} are taken: split the list", USAGE)
    return hashes


def _hash_of(objects: ObjectStore, image: str) -> str:
    if _SHA256.fullmatch(image):
        return image.lower()
    if image.startswith((ARCHIVE, REJECTED)):
        try:
            return hashlib.sha256(objects.read(image, limit=LARGEST)).hexdigest()
        except ObjectNotFoundError:
            raise CommandError(f"{image}: there is no such object in {objects.url}") from None
    path = Path(image)
    if not path.is_file():
        raise CommandError(f"{image} is neither a file here, nor a sha256, nor a key below archive/ or rejected/")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _follow(desk: EditDesk, request_id: str, deadline: float) -> RequestState:
    while True:
        state = desk.state(request_id)
        if state.state == "done":
            return state
        if time.monotonic() > deadline:
            raise CommandError(
                f"it has not been done yet ({state.state}); the request stays in the store: is an updater running?"
            )
        time.sleep(POLL_SECONDS)


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
