"""What ``lucir drop`` does: find, check, copy with a progress bar, and with --wait follow until it is served."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handlers.cli.errors import CommandError
from handlers.cli.output.drop_follow_output import show_progress
from handlers.cli.output.text import plain
from handlers.client import Client
from handlers.client.class_folders import ClassFolder
from handlers.client.drop_progress import Outcome
from handlers.client.drop_upload import Upload
from handlers.client.service_client import Drop


@dataclass(frozen=True)
class DropRequest:
    """The command line of ``lucir drop``; ``wait_seconds`` is None without --wait."""

    folder: Path
    class_name: str | None
    wait_seconds: float | None
    as_json: bool


def run(client: Client, request: DropRequest) -> None:
    """Drop the folder. Raises ``CommandError``, ``ClientError`` or ``StoreError``."""
    console = Console(stderr=request.as_json)
    drop = client.prepare_drop(request.folder, request.class_name)
    if request.wait_seconds is not None:
        client.status()  # nobody would learn it: say so before anything is copied
    _copy(client, drop, console)
    outcome = None
    if request.wait_seconds is not None:
        outcome = show_progress(client.follow(drop, request.wait_seconds), console)
    _report(request, drop.classes, drop.uploads, outcome)
    if outcome is None and client.connection.record is None and not request.as_json:
        folder = client.connection.settings.data
        console.print(plain(f"no stack is running on {folder}: it will be learnt when `lucir up` runs", "yellow"))
    if outcome is not None and outcome.failure:
        raise CommandError(outcome.failure)


def run_correction(
    client: Client, images: Sequence[Path], class_name: str, wait_seconds: float | None, *, as_json: bool
) -> None:
    """Correct answers. Raises ``CommandError``, ``ClientError`` or ``StoreError``."""
    console = Console(stderr=as_json)
    if wait_seconds is not None:
        client.status()
    drop = client.correct(images, class_name)
    outcome = show_progress(client.follow(drop, wait_seconds), console) if wait_seconds is not None else None
    _report(DropRequest(drop.classes[0].folder, class_name, wait_seconds, as_json), drop.classes, drop.uploads, outcome)
    if outcome is not None and outcome.failure:
        raise CommandError(outcome.failure)


def _copy(client: Client, drop: Drop, console: Console) -> None:
    columns = (
        TextColumn("copying"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images,"),
        TextColumn("{task.fields[name]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("copy", total=len(drop.uploads), name="")
        for one in client.copy(drop):
            bar.update(task, advance=1, name=one.key.split("/")[1])


def _report(
    request: DropRequest, classes: Sequence[ClassFolder], uploads: Sequence[Upload], outcome: Outcome | None
) -> None:
    if request.as_json:
        document = {
            "classes": {each.name: len(each.images) for each in classes},
            "images": len(uploads),
            "skipped_files": sum(each.others for each in classes),
            **({"outcome": outcome.document()} if outcome else {}),
        }
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        return
    console = Console()
    for each in classes:
        skipped = f" ({each.others} other files left out)" if each.others else ""
        console.print(plain(f"dropped {each.name}: {len(each.images)} images{skipped}"))
    if outcome is not None:
        for key, reason in outcome.rejected[:20]:
            console.print(plain(f"rejected {key.split('/', 3)[-1]}: {reason}", "yellow"))
        if len(outcome.rejected) > 20:
            console.print(f"... and {len(outcome.rejected) - 20} more: see rejected/ in the store")
        if outcome.version is not None and not outcome.failure:
            console.print(f"[green]version {outcome.version} is served[/green], {outcome.seconds:.0f} s after the drop")
