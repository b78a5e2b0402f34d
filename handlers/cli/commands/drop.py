"""``lucir drop`` and ``lucir correct``: hand class folders, or single images, to the service."""

from pathlib import Path
from typing import Annotated

import typer

from handlers.cli import options

Wait = Annotated[bool, typer.Option("--wait", help="Follow until the version that learnt it is served.")]


def drop(
    folder: Annotated[Path, typer.Argument(help="A class folder, or a folder of class folders.")],
    class_: Annotated[
        str | None, typer.Option("--class", help="Everything in FOLDER is of this one class.", metavar="NAME")
    ] = None,
    wait: Wait = False,
    timeout: options.Timeout = 3600.0,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Copy class folders into the store's incoming/, to be learnt.

    Each class folder holds the images of one class and is named after it.

    Example: lucir drop ./animals --wait     (with ./animals/cat/1.jpg, ./animals/dog/1.jpg ...)
    """
    from handlers.cli.drop_run import run_drop
    from handlers.client import Client

    client = Client(data, store=store, config=config)
    run_drop(client, folder, class_, timeout if wait else None, as_json=json_)


def correct(
    images: Annotated[list[Path], typer.Argument(help="Images that were answered wrongly.")],
    class_: Annotated[str, typer.Option("--class", help="The right class.", metavar="NAME")],
    wait: Wait = False,
    timeout: options.Timeout = 3600.0,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Let images be learnt as the class that they should have been answered with.

    They join the class at once, without a folder and without waiting to settle.

    Example: lucir correct cat-7.jpg --class cat --wait
    """
    from handlers.cli.drop_run import run_correction
    from handlers.client import Client

    run_correction(Client(data, store=store, config=config), images, class_, timeout if wait else None, as_json=json_)
