"""What ``lucir rollback`` does: move the pointer, wait for the running server."""

import json
import sys
import time
from pathlib import Path

from rich.console import Console

from handlers.cli import service
from handlers.cli.errors import CommandError
from model_store.versions import VersionStore

POLL_SECONDS = 0.25


def run(
    version: int, timeout: float, data: Path | None, store: str | None, config: Path | None, *, as_json: bool
) -> None:
    """Roll back. Raises ``StoreError`` for a version that does not exist or is damaged, ``CommandError``."""
    settings, record = service.locate(data, store, config)
    console = Console(stderr=as_json)
    with console.status(f"verifying version {version}"):
        pointer = VersionStore(service.existing_store(settings)).rollback(version)
    served = None
    if record is not None:
        with console.status(f"waiting until version {version} is served"):
            served = _wait(service.updater_url(settings, record), version, timeout)
    if as_json:
        document = {"version": version, "previous": pointer.previous, "served": served}
        sys.stdout.write(json.dumps(document) + "\n")
    elif served is None:
        console.print(f"version {version} will be served by the next stack that starts on this store")
    else:
        console.print(f"[green]version {version} is served[/green]")


def _wait(url: str, version: int, timeout: float) -> int:
    """The served version, once it is ``version``."""
    deadline = time.monotonic() + timeout
    while True:
        status = service.get_json(url, "/api/status")
        if status["served_version"] == version:
            return version
        if time.monotonic() > deadline:
            reason = status["server_error"] or "see `lucir status`"
            raise CommandError(f"the pointer was moved, but version {version} is not served yet: {reason}")
        time.sleep(POLL_SECONDS)
