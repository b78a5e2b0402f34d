"""``lucir predict``: ask the running service about images."""

from pathlib import Path
from typing import Annotated

import typer

from handlers.cli import options


def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of images.")],
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="Classes to name per image.", show_default="serving.top_k of the service, 5"),
    ] = None,
    data: options.Data = None,
    url: Annotated[
        str | None,
        typer.Option(help="The service, if not on this machine: http://host:port.", show_default="the stack on --data"),
    ] = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Classify images over HTTP. Of several, or of a folder, a summary says how many are of which class.

    Example: lucir predict cat.jpg ./holiday --top-k 3
    """
    from handlers.cli.output.predict_output import collect, show
    from handlers.client import Client
    from handlers.client.predictions import image_files

    files = image_files(images)
    answers = collect(Client(data, url=url, config=config).predict_each(*files, top_k=top_k), len(files))
    show(answers, as_json=json_)
    if any(answer.error for answer in answers):
        raise typer.Exit(1)
