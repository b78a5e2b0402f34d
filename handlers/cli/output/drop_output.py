"""What ``lucir drop`` does: find, check, copy with a progress bar, and with --wait follow until it is served."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handlers.cli import service
from handlers.cli.drop_find import ClassFolder, find_classes
from handlers.cli.drop_follow import Outcome, follow
from handlers.cli.drop_upload import Upload, drop_id, plan_uploads, upload
from handlers.cli.errors import CommandError
from handlers.cli.text import plain
from handlers.settings import Settings
from handlers.store import open_settings_store
from model_store.objects import ObjectStore


@dataclass(frozen=True)
class DropRequest:
    """The command line of ``lucir drop``; ``wait_seconds`` is None without --wait."""

    folder: Path
    class_name: str | None
    wait_seconds: float | None
    as_json: bool


def run(request: DropRequest, data: Path | None, store: str | None, config: Path | None) -> None:
    """Drop the folder. Raises ``CommandError`` or ``StoreError``."""
    console = Console(stderr=request.as_json)
    classes = find_classes(request.folder, request.class_name)
    settings, record = service.locate(data, store, config)
    url = service.updater_url(settings, record)
    if request.wait_seconds is not None:
        service.get_json(url, "/api/status")  # nobody would learn it: say so before anything is copied
    objects = open_settings_store(settings)
    objects.check()
    uploads = plan_uploads(classes, drop_id())
    _upload(objects, classes, uploads, console)
    outcome = None
    if request.wait_seconds is not None:
        outcome = follow(objects, url, {one.key for one in uploads}, request.wait_seconds, console)
    _report(request, classes, uploads, outcome)
    if outcome is None and record is None and not request.as_json:
        _mention_nobody(settings, console)
    if outcome is not None and outcome.failure:
        raise CommandError(outcome.failure)


def _upload(objects: ObjectStore, classes: Sequence[ClassFolder], uploads: Sequence[Upload], console: Console) -> None:
    columns = (
        TextColumn("copying"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images,"),
        TextColumn("{task.fields[name]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("copy", total=len(uploads), name="")
        upload(objects, classes, uploads, lambda one: progress.update(task, advance=1, name=one.key.split("/")[1]))


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


def _mention_nobody(settings: Settings, console: Console) -> None:
    console.print(plain(f"no stack is running on {settings.data}: it will be learnt when `lucir up` runs", "yellow"))
