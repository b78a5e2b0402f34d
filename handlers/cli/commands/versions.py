"""``lucir versions``: every version with what was measured on it."""

from handlers.cli import options


def versions(
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """List the versions in the store: classes, accuracy, forgetting, what the gate said, which one is served.

    A provisional version is imprinted only and answers until the learnt one does; an edited one had classes or images
    taken out or renamed. A refused version is kept: lucir rollback VERSION --force serves it.

    Reads the store itself, so it needs no running stack.

    Example: lucir versions --data ./lucir-data
    """
    from handlers.cli.output.versions_output import show
    from handlers.client import Client

    show(Client(data, store=store, config=config).versions(), as_json=json_)
