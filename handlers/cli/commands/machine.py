"""``lucir up``, ``follow``, ``status`` and ``doctor``: a stack or a replica on this machine."""

from importlib.metadata import version
from typing import Annotated

import typer

from handlers.cli import options

Port = Annotated[int | None, typer.Option(help="Port for predictions.", show_default="8080")]
MetricsPort = Annotated[int | None, typer.Option(help="Port of the serving engine's metrics.", show_default="8082")]
Host = Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 for all.", show_default="127.0.0.1")]
FreePorts = Annotated[bool, typer.Option("--free-ports", help="Let the system choose ports that are not given.")]


def show_version(asked: bool) -> None:
    """Print the release and end, where asked for."""
    if asked:
        typer.echo(f"lucir {version('lucir')}")
        raise typer.Exit


def lucir(
    _: Annotated[
        bool, typer.Option("--version", help="Show the release and exit.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """An image classifier that keeps learning while it serves."""


def up(
    data: options.Data = None,
    store: options.Store = None,
    port: Port = None,
    metrics_port: MetricsPort = None,
    updater_port: Annotated[
        int | None, typer.Option(help="Port of the page and the metrics of the updater.", show_default="8090")
    ] = None,
    host: Host = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="How to learn: auto (as the store was learnt, else photo), small, digits ...", show_default="auto"
        ),
    ] = None,
    minio: Annotated[bool | None, typer.Option("--minio", help="Keep the store in a MinIO server of its own.")] = None,
    minio_port: Annotated[int | None, typer.Option(help="Port of MinIO.", show_default="9000")] = None,
    config: options.Config = None,
    set_: options.Set = None,
    free_ports: FreePorts = False,
) -> None:
    """Start storage, TorchServe and the updater; Ctrl-C stops everything.

    Example: lucir up --data ./lucir-data --port 8080 --set updater.min_images=5
    """
    from handlers.cli.foreground import UpRequest, run_up

    values = {
        "data": data,
        "store": store,
        "serving.port": port,
        "serving.metrics_port": metrics_port,
        "updater.port": updater_port,
        "serving.host": host,
        "updater.host": host,
        "learning.preset": preset,
        "minio.enabled": minio,
        "minio.port": minio_port,
    }
    run_up(UpRequest(config, values, tuple(set_ or ()), free_ports))


def follow(
    store: options.Store = None,
    data: options.Data = None,
    port: Port = None,
    metrics_port: MetricsPort = None,
    follower_port: Annotated[
        int | None, typer.Option(help="Port of the follower's status and metrics.", show_default="8091")
    ] = None,
    host: Host = None,
    config: options.Config = None,
    set_: options.Set = None,
    free_ports: FreePorts = False,
) -> None:
    """Serve what another stack learns: mirror its versions, swap as its pointer moves; Ctrl-C stops everything.

    Needs only to read the store. Any number of replicas may follow one store; on one machine each needs a --data of
    its own, for its local copies.

    Example: lucir follow --store s3://lucir --data ./replica-1 --free-ports
    """
    from handlers.cli.foreground import UpRequest, run_follow

    values = {
        "data": data,
        "store": store,
        "serving.port": port,
        "serving.metrics_port": metrics_port,
        "follower.port": follower_port,
        "serving.host": host,
        "follower.host": host,
    }
    run_follow(UpRequest(config, values, tuple(set_ or ()), free_ports))


def status(
    data: options.Data = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="The updater, if not on this machine: http://host:port.", show_default="that of the stack on --data"
        ),
    ] = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Show the served version, the running phase, what waits and why, and the last errors.

    Example: lucir status --json
    """
    from handlers.cli.output.machine_output import show_status
    from handlers.client import Client

    show_status(Client(data, updater_url=url, config=config).status().document, as_json=json_)


def doctor(
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    races: Annotated[int, typer.Option(min=2, help="How often writers race for an object, with --store.")] = 1000,
    json_: options.Json = False,
) -> None:
    """Check Python, Java, packages, accelerators, memory, disk, ports and the store.

    With --store the store gets a certificate as well: conditional writes are raced a thousand times, listings, tags,
    moves and errors tried, below a folder of its own that is removed. It is then certified, for a single writer only,
    or refused. The exit status is 1 when something is missing; what is only worth knowing does not count.

    Example: lucir doctor --json
    """
    from handlers.cli.doctor_checks import check_certificate, run_checks
    from handlers.cli.output.machine_output import show_checks
    from handlers.client.addresses import locate

    connection = locate(data, store, config)
    checks = run_checks(connection.settings, connection.record)
    if store is not None:
        checks.append(check_certificate(connection.settings, races))
    show_checks(checks, as_json=json_)
