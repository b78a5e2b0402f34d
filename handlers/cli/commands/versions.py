"""``lucir versions``, ``report``, ``rollback`` and ``prune``: what was learnt, what is served, what is kept."""

from pathlib import Path
from typing import Annotated

import typer

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


def report(
    version: Annotated[int | None, typer.Argument(min=1, help="The version.", show_default="the current one")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the page with images here.", metavar="FILE")
    ] = None,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Tell what came in, what was rejected and why, accuracy before and after, and what is confused with what.

    Reads the store itself, so it needs no running stack.

    Example: lucir report 3 --html report.html
    """
    from handlers.cli.version_runs import run_report
    from handlers.client import Client

    run_report(Client(data, store=store, config=config), version, html, as_json=json_)


def rollback(
    version: Annotated[int, typer.Argument(min=1, help="The version to serve.")],
    force: Annotated[bool, typer.Option("--force", help="Serve VERSION although the gate refused it.")] = False,
    timeout: Annotated[
        float, typer.Option(min=1, help="Wait so many seconds until a running stack serves it.")
    ] = 120.0,
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
    from handlers.cli.version_runs import run_rollback
    from handlers.client import Client

    run_rollback(Client(data, store=store, config=config), version, timeout, force=force, as_json=json_)


def prune(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be removed, and why the rest stays.")
    ] = False,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    set_: options.Set = None,
    json_: options.Json = False,
) -> None:
    """Remove old versions, and old originals where that is configured (retention.*).

    The updater does the same after every update. Never removed: the served version, its parent, the one served before,
    what an unfinished update needs, and the last versions of the served line.

    Example: lucir prune --dry-run --set retention.keep_versions=5
    """
    from handlers.cli.version_runs import run_prune
    from handlers.client import Client

    run_prune(Client(data, store=store, config=config), config, tuple(set_ or ()), dry=dry_run, as_json=json_)
