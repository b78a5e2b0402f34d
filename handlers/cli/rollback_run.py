"""What ``lucir rollback`` does: move the pointer, wait for the running server."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from handlers.cli import service
from handlers.cli.errors import CommandError
from model_store.objects import ObjectNotFoundError
from model_store.versions import VersionStore

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class RollbackRequest:
    """The command line of ``lucir rollback``."""

    version: int
    timeout: float
    force: bool
    as_json: bool


def run(request: RollbackRequest, data: Path | None, store: str | None, config: Path | None) -> None:
    """Roll back. Raises ``StoreError`` for a version that does not exist or is damaged, ``CommandError``."""
    settings, record = service.locate(data, store, config)
    version, timeout, as_json = request.version, request.timeout, request.as_json
    console = Console(stderr=as_json)
    versions = VersionStore(service.existing_store(settings))
    with console.status(f"verifying version {version}"):
        refused = _refusal(versions, version)
        if refused and not request.force:
            raise CommandError(
                f"the gate refused version {version}: {refused}. Nothing was changed; "
                f"to serve it all the same: lucir rollback {version} --force"
            )
        pointer = versions.rollback(version, f"rollback, forced: {refused}" if refused else "rollback")
    served = None
    if record is not None:
        with console.status(f"waiting until version {version} is served"):
            served = wait_served(service.updater_url(settings, record), version, timeout)
    if as_json:
        document = {"version": version, "previous": pointer.previous, "served": served, "forced": bool(refused)}
        sys.stdout.write(json.dumps(document) + "\n")
    elif served is None:
        console.print(f"version {version} will be served by the next stack that starts on this store")
    else:
        console.print(f"[green]version {version} is served[/green]")


def _refusal(versions: VersionStore, version: int) -> str:
    """Why the gate refused a version; empty where it passed, or was never judged."""
    try:
        gate = versions.evaluation(version).gate
    except ObjectNotFoundError:
        return ""
    return "" if gate.passed else "; ".join(gate.reasons) or "no reason is recorded"


def wait_served(url: str, version: int, timeout: float) -> int:
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
