"""Text of others on a terminal: never read as markup, never able to move the cursor. And JSON for scripts."""

import json
import sys

from rich.text import Text

from handlers.client.visible import visible


def measured(accuracy: float, interval: tuple[float, float] | None, images: int | None) -> str:
    """An accuracy with its 95 % interval and its number of images: ``98.9% (97.6-99.5, 540 images)``."""
    if interval is None:
        return f"{accuracy:.1%}"
    return f"{accuracy:.1%} ({100 * interval[0]:.1f}-{100 * interval[1]:.1f}, {images} images)"


def percent(share: float | None, none: str = "-") -> str:
    """``98.9%``; ``none`` where it was not measured."""
    return none if share is None else f"{share:.1%}"


def plain(text: str, style: str = "") -> Text:
    """``text`` as it is, control characters made visible."""
    return Text(visible(text), style=style)


def write_json(document: object) -> None:
    """One indented document on stdout: names as they are, or all escaped where its encoding lacks one of them."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")  # strictly, whatever the stream does about it
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2)
    sys.stdout.write(text + "\n")
