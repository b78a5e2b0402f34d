"""``lucir predict``: ask the running service about images."""

from pathlib import Path
from typing import Annotated

import typer

from handlers.cli import options

Images = Annotated[list[Path], typer.Argument(help="Image files.", show_default=False)]
TopK = Annotated[int | None, typer.Option(min=1, help="Classes to name per image.", show_default=False)]
Url = Annotated[str | None, typer.Option(help="The service, if not on this machine: http://host:port.")]


def predict(
    images: Images,
    top_k: TopK = None,
    data: options.Data = None,
    url: Url = None,
    config: options.Config = None,
    json_: options.Json = False,
) -> None:
    """Classify images over HTTP.

    Example: lucir predict cat.jpg dog.png --top-k 3
    """
    from handlers.cli.output.predict_output import show
    from handlers.client import Client

    answers = Client(data, url=url, config=config).predict(*images, top_k=top_k)
    show(answers, as_json=json_)
    if any(answer.error for answer in answers):
        raise typer.Exit(1)
