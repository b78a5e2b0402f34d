"""Text of others on a terminal: never read as markup, never able to move the cursor."""

from rich.text import Text

from handlers.client.visible import visible


def plain(text: str, style: str = "") -> Text:
    """``text`` as it is, control characters made visible."""
    return Text(visible(text), style=style)
