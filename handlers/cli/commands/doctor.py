"""``lucir doctor``: what is missing on this machine and how to get it."""

from handlers.cli import options


def doctor(
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Check Python, Java, packages, accelerators, memory, disk, ports and the store.

    The exit status is 1 when something is missing; what is only worth knowing does not count.

    Example: lucir doctor --json
    """
    from handlers.cli.doctor_checks import run_checks
    from handlers.cli.output.doctor_output import show
    from handlers.client.connection import locate

    connection = locate(data, store, config)
    show(run_checks(connection.settings, connection.record), as_json=json_)
