"""A rollback on a terminal."""

import json
import sys
from dataclasses import asdict

from rich.console import Console

from handlers.client import Client


def run(client: Client, version: int, timeout: float, *, force: bool, as_json: bool) -> None:
    """Roll back. Raises ``ClientError``, ``StoreError``."""
    console = Console(stderr=as_json)
    with console.status(f"verifying version {version}, and waiting until it is served"):
        result = client.rollback(version, force=force, timeout=timeout)
    if as_json:
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
    elif result.served is None:
        console.print(f"version {version} will be served by the next stack that starts on this store")
    else:
        console.print(f"[green]version {version} is served[/green]")
