"""Text of others in a message: never able to move a terminal's cursor."""

import unicodedata


def visible(text: str) -> str:
    """``text`` with control characters and lone surrogates as escapes."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in {"Cc", "Cf", "Cs"}
        else character
        for character in text
    )
