"""``lucir image``: single images that were dropped once."""

from typing import Annotated

import typer

from handlers.cli import options
from handlers.cli.commands.class_ import Timeout, Wait, Yes

app = typer.Typer(
    help="Delete single images.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Images = Annotated[
    list[str],
    typer.Argument(
        help="Key in the store (archive/000003/cat/1.jpg), sha256, or a local copy of the file.",
        metavar="KEY|SHA256|FILE...",
        show_default=False,
    ),
]


@app.callback()
def image() -> None:
    """A group, though it has one command so far."""


@app.command()
def delete(
    images: Images,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = 600.0,
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
    from handlers.cli.output.edit_output import EditCommand, confirm, run
    from handlers.client import Client

    client = Client(data, store=store, config=config)
    hashes = client.image_hashes(*images)
    confirm(f"Delete {len(hashes)} image{'s' if len(hashes) > 1 else ''} wherever the store keeps them?", yes=yes)
    run(client, EditCommand(DeleteImages(hashes=hashes), timeout if wait else None, json_))
