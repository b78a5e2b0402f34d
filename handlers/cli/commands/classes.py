"""``lucir class`` and ``lucir image``: change what is known, without training."""

from typing import Annotated

import typer

from handlers.cli import options

class_app = options.group("Rename, merge and remove classes.")
image_app = options.group("Delete single images.")

Wait = Annotated[bool, typer.Option("--wait", help="Wait until the version without or with it is served.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@class_app.command()
def rename(
    old: Annotated[str, typer.Argument(help="The class's present name.")],
    new: Annotated[str, typer.Argument(help="Its new name.")],
    wait: Wait = False,
    timeout: options.Timeout = 600.0,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Give the class OLD the name NEW. Its images, its exemplars and every answer stay what they are.

    Example: lucir class rename kat cat --wait
    """
    from handlers.bucket.edit_documents import Rename
    from handlers.cli.edit_run import run_edit
    from handlers.client import Client

    client = Client(data, store=store, config=config)
    run_edit(client, Rename(name=old, to=new), timeout if wait else None, as_json=json_)


@class_app.command()
def merge(
    names: Annotated[list[str], typer.Argument(help="Classes to join.")],
    into: Annotated[str, typer.Option("--into", help="Name of the joint class: one of them, another, or a new one.")],
    wait: Wait = False,
    timeout: options.Timeout = 600.0,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Join classes. The gate judges the joint class before it is served.

    Example: lucir class merge kitten tomcat --into cat --wait
    """
    from handlers.bucket.edit_documents import Merge
    from handlers.cli.edit_run import run_edit
    from handlers.client import Client

    client = Client(data, store=store, config=config)
    run_edit(client, Merge(names=tuple(names), into=into), timeout if wait else None, as_json=json_)


@class_app.command()
def remove(
    name: Annotated[str, typer.Argument(help="The class to remove.")],
    delete_originals: Annotated[
        bool, typer.Option("--delete-originals", help="Delete its stored originals as well.")
    ] = False,
    yes: Yes = False,
    wait: Wait = False,
    timeout: options.Timeout = 600.0,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Forget a class: its exemplars, its held-out images and its place among the answers.

    With --wait it tells which stored originals and which earlier versions still hold its images.

    Example: lucir class remove cat --delete-originals --yes --wait
    """
    from handlers.bucket.edit_documents import Remove
    from handlers.cli.edit_run import FOR_GOOD, ROLLBACK, confirm, run_edit
    from handlers.client import Client

    question = f"Remove the class {name!r}{' and delete its stored originals' if delete_originals else ''}?"
    confirm(question, FOR_GOOD if delete_originals else ROLLBACK, yes=yes)
    operation = Remove(name=name, delete_originals=delete_originals)
    client = Client(data, store=store, config=config)
    run_edit(client, operation, timeout if wait else None, as_json=json_)


@image_app.callback()
def image() -> None:
    """A group, though it has one command so far."""


@image_app.command()
def delete(
    images: Annotated[
        list[str],
        typer.Argument(
            help="Key in the store (archive/000003/cat/1.jpg), sha256, or a local copy of the file.",
            metavar="KEY|SHA256|FILE...",
        ),
    ],
    yes: Yes = False,
    wait: Wait = False,
    timeout: options.Timeout = 600.0,
    data: options.Data = None,
    store: options.Store = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Delete images on request: stored originals, exemplars, held-out copies. Prototypes are rebuilt without training.

    What earlier versions still hold is told with --wait. With preset photo nothing is left in the new version; a
    network that was trained with the images keeps its weights.

    Example: lucir image delete archive/000001/cat/7.jpg --yes --wait
    """
    from handlers.bucket.edit_documents import DeleteImages
    from handlers.cli.edit_run import FOR_GOOD, confirm, run_edit
    from handlers.client import Client

    client = Client(data, store=store, config=config)
    hashes = client.image_hashes(*images)
    question = f"Delete {len(hashes)} image{'s' if len(hashes) > 1 else ''} wherever the store keeps them?"
    confirm(question, FOR_GOOD, yes=yes)
    run_edit(client, DeleteImages(hashes=hashes), timeout if wait else None, as_json=json_)
