"""``lucir up``: the whole stack on this machine."""

from typing import Annotated

import typer

from handlers.cli import options

Port = Annotated[int | None, typer.Option(help="Port for predictions.  [default: 8080]", show_default=False)]
MetricsPort = Annotated[
    int | None, typer.Option(help="TorchServe's metrics port.  [default: 8082]", show_default=False)
]
UpdaterPort = Annotated[
    int | None,
    typer.Option(help="Port of the page and the metrics of the updater.  [default: 8090]", show_default=False),
]
Host = Annotated[
    str | None, typer.Option(help="Address to listen on; 0.0.0.0 for all.  [default: 127.0.0.1]", show_default=False)
]
Preset = Annotated[
    str | None, typer.Option(help="How to learn: small, photo, digits ...  [default: small]", show_default=False)
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Any other setting; may be repeated.", metavar="KEY=VALUE")
]
Minio = Annotated[
    bool | None, typer.Option("--minio", help="Keep the store in a MinIO server of its own.", show_default=False)
]
MinioPort = Annotated[int | None, typer.Option(help="Port of MinIO.  [default: 9000]", show_default=False)]
FreePorts = Annotated[bool, typer.Option("--free-ports", help="Let the system choose ports that are not given.")]


def up(
    data: options.Data = None,
    store: options.Store = None,
    port: Port = None,
    metrics_port: MetricsPort = None,
    updater_port: UpdaterPort = None,
    host: Host = None,
    preset: Preset = None,
    minio: Minio = None,
    minio_port: MinioPort = None,
    config: options.Config = None,
    set_: Set = None,
    free_ports: FreePorts = False,
) -> None:
    """Start storage, TorchServe and the updater; Ctrl-C stops everything.

    Example: lucir up --data ./lucir-data --port 8080 --set updater.min_images=5
    """
    from handlers.cli.up_run import UpRequest, run

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
    run(UpRequest(config, values, tuple(set_ or ()), free_ports))
