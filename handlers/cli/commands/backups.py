"""``lucir backup``, ``restore`` and ``export``: copies of the store, and of a version."""

from pathlib import Path
from typing import Annotated

import typer

from handlers.cli import options


def backup(
    target: Annotated[str, typer.Argument(help="A folder, or s3://bucket on the same server.")],
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
    source: Annotated[str, typer.Argument(help="What `lucir backup` wrote.")],
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


def export(
    version: Annotated[int, typer.Argument(min=1, help="The version.")],
    folder: Annotated[Path, typer.Argument(help="A folder that is not there yet.", metavar="DIR")],
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Write VERSION as a folder that runs elsewhere: ONNX, labels, examples in Python and JavaScript, a model card.

    With the layouts of Triton and of OpenVINO Model Server. Reads the store itself, so it needs no running stack.

    Example: lucir export 3 pets-model
    """
    from handlers.cli.output.backup_output import show_export
    from handlers.client import Client

    show_export(Client(data, store=store, config=config).export(version, folder), folder, as_json=json_)
