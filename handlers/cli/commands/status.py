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
    from handlers.cli import service
    from handlers.cli.status_show import show

    settings, record = service.locate(data, config=config)
    show(service.get_json(service.updater_url(settings, record, url), "/api/status"), as_json=json_)
