"""``lucir drop`` and ``lucir correct``: copy, and with --wait follow until the images are learnt and served."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from handlers.cli.errors import CommandError
from handlers.cli.output.drop_output import show_copying, show_drop, show_progress
from handlers.cli.output.text import plain
from handlers.client import Client
from handlers.client.service_client import Drop


def run_drop(
    client: Client, folder: Path, class_name: str | None, wait_seconds: float | None, *, as_json: bool
) -> None:
    """Drop the folder; ``wait_seconds`` is None without --wait. Raises as ``run_correction``."""
    console = Console(stderr=as_json)
    drop = client.prepare_drop(folder, class_name)
    if wait_seconds is not None:
        client.status()  # nobody would learn it: say so before anything is copied
    show_copying(client.copy(drop), len(drop.uploads), console)
    _follow_and_show(client, drop, wait_seconds, console, as_json=as_json)


def run_correction(
    client: Client, images: Sequence[Path], class_name: str, wait_seconds: float | None, *, as_json: bool
) -> None:
    """Correct answers. Raises ``CommandError``, ``ClientError`` or ``StoreError``."""
    if wait_seconds is not None:
        client.status()
    drop = client.correct(images, class_name)
    _follow_and_show(client, drop, wait_seconds, Console(stderr=as_json), as_json=as_json)


def _follow_and_show(
    client: Client, drop: Drop, wait_seconds: float | None, console: Console, *, as_json: bool
) -> None:
    outcome = None if wait_seconds is None else show_progress(client.follow(drop, wait_seconds), console)
    show_drop(drop, outcome, as_json=as_json)
    if outcome is None and not client.connection.runs_here and not as_json:
        console.print(plain(client.connection.who_works("learnt"), "yellow"), soft_wrap=True)
    if outcome is not None and outcome.failure:
        raise CommandError(outcome.failure)
