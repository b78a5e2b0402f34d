"""``lucir backup`` and ``lucir restore``: a copy of the whole store, and the way back."""

from typing import Annotated

import typer

from handlers.cli import options

Target = Annotated[str, typer.Argument(help="A folder, or s3://bucket on the same server.", show_default=False)]
Source = Annotated[str, typer.Argument(help="What `lucir backup` wrote.", show_default=False)]


def backup(
    target: Target,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Make TARGET a copy of the store: versions, originals, documents. The service may go on meanwhile.

    Running it again copies what is new and removes from the copy what is gone from the store.

    Example: lucir backup /backups/lucir
    """
    from handlers.cli.output.backup_output import run
    from handlers.client import Client

    run(Client(data, store=store, config=config).backup, target, "copied", as_json=json_)


def restore(
    source: Source,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Copy a backup into an empty store and verify what it serves. Start the service afterwards.

    Example: lucir restore /backups/lucir --data ./lucir-data
    """
    from handlers.cli.output.backup_output import run
    from handlers.client import Client

    run(Client(data, store=store, config=config).restore, source, "restored", as_json=json_)
