"""``lucir relearn``: learn what the archive keeps, of some classes or with another preset."""

from typing import Annotated

import typer

from handlers.cli import options


def relearn(
    classes: Annotated[list[str] | None, typer.Argument(help="Classes whose archived images are to be learnt.")] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Learn everything again with this preset: photo, small, digits ...",
            show_default="only CLASSES, with the store's",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="With --preset: a value of it, e.g. epochs=40; may be repeated.", metavar="KEY=VALUE"
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow until the version is served.")] = False,
    timeout: options.Timeout = 3600.0,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Learn from the archive: what was refused of CLASSES, or with --preset everything again.

    The version that is served goes on answering until the new one has passed the gate; when that refuses it, nothing
    changes. Images that come meanwhile wait their turn. Of classes: lucir relearn cat dog --wait

    Example: lucir relearn --preset photo --wait
    """
    from handlers.cli.edit_run import run_relearn
    from handlers.client import Client
    from handlers.setting_values import assignments

    client = Client(data, store=store, config=config)
    request = client.relearn(*(classes or ()), preset=preset, overrides=assignments(set_ or ()))
    run_relearn(client, request, timeout if wait else None, as_json=json_)
