"""``lucir versions``: every version with what was measured on it."""

from handlers.cli import options


def versions(
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """List the versions in the store: classes, accuracy, forgetting, which one is served.

    Reads the store itself, so it needs no running stack.

    Example: lucir versions --data ./lucir-data
    """
    from handlers.cli import service
    from handlers.cli.versions_show import collect, show

    settings, _ = service.locate(data, store, config)
    show(collect(service.existing_store(settings)), as_json=json_)
