"""``lucir follow``: a serving replica on this machine."""

from typing import Annotated

import typer

from handlers.cli import options
from handlers.cli.commands.up import FreePorts, Host, MetricsPort, Port, Set

FollowerPort = Annotated[
    int | None,
    typer.Option(help="Port of the follower's status and metrics.  [default: 8091]", show_default=False),
]


def follow(
    store: options.Store = None,
    data: options.Data = None,
    port: Port = None,
    metrics_port: MetricsPort = None,
    follower_port: FollowerPort = None,
    host: Host = None,
    config: options.Config = None,
    set_: Set = None,
    free_ports: FreePorts = False,
) -> None:
    """Serve what another stack learns: mirror its versions, swap as its pointer moves; Ctrl-C stops everything.

    Needs only to read the store. Any number of replicas may follow one store; on one machine each needs a --data of
    its own, for its local copies.

    Example: lucir follow --store s3://lucir --data ./replica-1 --free-ports
    """
    from handlers.cli.follow_run import run
    from handlers.cli.up_run import UpRequest

    values = {
        "data": data,
        "store": store,
        "serving.port": port,
        "serving.metrics_port": metrics_port,
        "follower.port": follower_port,
        "serving.host": host,
        "follower.host": host,
    }
    run(UpRequest(config, values, tuple(set_ or ()), free_ports))
