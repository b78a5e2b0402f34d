"""``lucir report``: what the update that made a version did."""

from pathlib import Path
from typing import Annotated

import typer

from handlers.cli import options

Version = Annotated[
    int | None, typer.Argument(min=1, help="The version.  [default: the current one]", show_default=False)
]
Html = Annotated[
    Path | None, typer.Option("--html", help="Write the page with images here.", metavar="FILE", show_default=False)
]


def report(
    version: Version = None,
    html: Html = None,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Tell what came in, what was rejected and why, accuracy before and after, and what is confused with what.

    Reads the store itself, so it needs no running stack.

    Example: lucir report 3 --html report.html
    """
    from handlers.cli.output.report_output import run
    from handlers.client import Client

    run(Client(data, store=store, config=config), version, html, as_json=json_)
