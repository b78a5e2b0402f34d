"""``lucir demo``: the whole story on real data, from an empty store to ten classes, and an end by itself."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer


def demo(
    output: Annotated[
        Path, typer.Option(help="Where the results, the plot and the logs are written.", metavar="DIR")
    ] = Path("demo-output"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split, of learning, of everything.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="Tell the story so many times, with consecutive seeds.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder of the stack; say where it is.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the stack; may be repeated.", metavar="KEY=VALUE")
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            help="A folder with a folder of images for each class.", show_default="handwritten digits", metavar="FOLDER"
        ),
    ] = None,
) -> None:
    """Learn handwritten digits in three drops while a client keeps asking, and compare with plain finetuning.

    With --photos the same on a folder of your own that has a folder of images for each class: up to four drops, a fifth
    of each class held back, compared with a histogram of gradients and colours and ridge regression.

    Everything runs on this machine, in a temporary folder, on free ports, and is stopped at the end. The exit status
    is 1 when anything fell short.

    Example: lucir demo --photos ./animals --output ./demo-output
    """
    from handlers.demo.material import digits, photographs
    from handlers.demo.run import StoryRequest, tell

    make = digits if photos is None else partial(photographs, photos)
    if not tell(StoryRequest(output, tuple(range(seed, seed + seeds)), keep, tuple(set_ or ()), make)):
        raise typer.Exit(1)
