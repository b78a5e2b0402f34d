"""``lucir drop``: hand class folders to the service."""

from pathlib import Path
from typing import Annotated

import typer

from handlers.cli import options

Folder = Annotated[Path, typer.Argument(help="A class folder, or a folder of class folders.", show_default=False)]
Class = Annotated[
    str | None, typer.Option("--class", help="Everything in FOLDER is of this one class.", metavar="NAME")
]
Wait = Annotated[bool, typer.Option("--wait", help="Follow until the version that learnt it is served.")]
Timeout = Annotated[float, typer.Option(min=1, help="With --wait: give up after so many seconds.")]


def drop(
    folder: Folder,
    class_: Class = None,
    wait: Wait = False,
    timeout: Timeout = 3600.0,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Copy class folders into the store's incoming/, to be learnt.

    Each class folder holds the images of one class and is named after it.

    Example: lucir drop ./animals --wait     (with ./animals/cat/1.jpg, ./animals/dog/1.jpg ...)
    """
    from handlers.cli.output.drop_output import DropRequest, run
    from handlers.client import Client

    request = DropRequest(folder, class_, timeout if wait else None, json_)
    run(Client(data, store=store, config=config), request)
