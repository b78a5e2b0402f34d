"""``lucir status``: what the service is doing."""

from typing import Annotated

import typer

from handlers.cli import options

Url = Annotated[str | None, typer.Option(help="The updater, if not on this machine: http://host:port.")]


def status(
    data: options.Data = None, url: Url = None, config: options.Config = None, json_: options.Json = False
) -> None:
    """Show the served version, the running phase, what waits and why, and the last errors.

    Example: lucir status --json
    """
    from handlers.cli.output.status_output import show
    from handlers.client import Client

    show(Client(data, updater_url=url, config=config).status().document, as_json=json_)
