"""``lucir rollback``: serve an earlier version."""

from typing import Annotated

import typer

from handlers.cli import options

Version = Annotated[int, typer.Argument(min=1, help="The version to serve.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Serve VERSION although the gate refused it.")]
Timeout = Annotated[float, typer.Option(min=1, help="Wait so many seconds until a running stack serves it.")]


def rollback(
    version: Version,
    force: Force = False,
    timeout: Timeout = 120.0,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Point every server to VERSION and, where the stack runs, wait until it is served.

    The files of the version are verified first. What is dropped later is learnt on top of it. A version that the gate
    refused is served only with --force.

    Example: lucir rollback 3
    """
    from handlers.cli.output.rollback_output import run
    from handlers.client import Client

    run(Client(data, store=store, config=config), version, timeout, force=force, as_json=json_)
