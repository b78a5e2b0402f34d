"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer


def group(text: str) -> typer.Typer:
    """Commands that share a word, and the help of all of them."""
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


# A default that a setting has is named by ``show_default``; brackets in a help text would be read as markup and vanish.
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of the stack.", show_default="lucir-data", metavar="DIR")
]
Store = Annotated[
    str | None, typer.Option(help="file:///path or s3://bucket.", show_default="the folder store in --data")
]
Config = Annotated[
    Path | None, typer.Option("--config", help="YAML file with settings.", show_default="$LUCIR_CONFIG", metavar="FILE")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Any other setting; may be repeated.", metavar="KEY=VALUE")
]
Timeout = Annotated[float, typer.Option(min=1, help="With --wait: give up after so many seconds.")]
