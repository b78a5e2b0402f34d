"""How the names of files are spelt in keys, so that every key is text and every file can be named.

A file system keeps bytes. Python shows those that are not UTF-8 as lone surrogates, which no JSON document, label or
address can hold. In a key such a byte is U+FFFD (what other programs show for it) and its two hexadecimal digits:
``caf\\xe9`` is ``caf\\ufffdE9``. A real U+FFFD is doubled where it could be mistaken. Other names are as they are.
"""

import re
from typing import Final

MARK: Final = "\ufffd"

_TO_KEY: Final = re.compile(f"[\udc80-\udcff]|{MARK}(?=[{MARK}\udc80-\udcff]|[89A-F][0-9A-F])")
_SURROGATE: Final = re.compile("[\udc80-\udcff]")
_TO_NAME: Final = re.compile(f"{MARK}({MARK}|[89A-F][0-9A-F])")


def key_of(name: str) -> str:
    """The spelling in a key of a file's name or path, as ``os`` gives it."""
    if name.isascii():
        return name
    return _TO_KEY.sub(
        lambda found: MARK * 2 if found[0] == MARK else f"{MARK}{ord(found[0]) - 0xDC00:02X}",
        name,
    )


def spelt(key: str) -> str:
    """``key``, or the key that was meant by who took a name from ``os`` as it is, surrogates and all."""
    return key if key.isascii() or not _SURROGATE.search(key) else key_of(key)


def name_of(key: str) -> str:
    """The file's path that ``key`` spells, for ``os``. Raises ``ValueError`` where another key spells it."""
    key = spelt(key)
    if MARK not in key:
        return key
    name = _TO_NAME.sub(lambda found: MARK if found[1] == MARK else chr(0xDC00 + int(found[1], 16)), key)
    if key_of(_decoded(name)) != key:
        raise ValueError("its file has another key")
    return name


def _decoded(name: str) -> str:
    """As ``os`` gives it: bytes that are UTF-8 together are characters."""
    return name.encode(errors="surrogateescape").decode(errors="surrogateescape")
