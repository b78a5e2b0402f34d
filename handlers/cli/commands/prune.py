"""``lucir prune``: remove what the retention policy lets go."""

from typing import Annotated

import typer

from handlers.cli import options
from handlers.cli.commands.up import Set

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed, and why the rest stays.")]


def prune(
    dry_run: DryRun = False,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    set_: Set = None,
    json_: options.Json = False,
) -> None:
    """Remove old versions, and old originals where that is configured (retention.*).

    The updater does the same after every update. Never removed: the served version, its parent, the one served before,
    what an unfinished update needs, and the last versions of the served line.

    Example: lucir prune --dry-run --set retention.keep_versions=5
    """
    from handlers.cli.output.prune_output import run
    from handlers.client import Client

    run(Client(data, store=store, config=config), config, tuple(set_ or ()), dry=dry_run, as_json=json_)
