"""Text of others on a terminal: never read as markup, never able to move the cursor."""

import unicodedata

from rich.text import Text


def plain(text: str, style: str = "") -> Text:
    """``text`` as it is, control characters made visible."""
    return Text(visible(text), style=style)


def visible(text: str) -> str:
    """``text`` with control characters and lone surrogates as escapes."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in {"Cc", "Cf", "Cs"}
        else character
        for character in text
    )
