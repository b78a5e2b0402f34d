"""What a key may look like, and the one name in every store that is the store's own."""

from model_store.objects import InvalidKeyError

RESERVED = ".lucir"
"""First segment of everything a store keeps for itself: temporary files, locks, probes. Never listed, never a key."""

_NO_NAMES = frozenset({"", ".", ".."})


def check_key(key: str) -> str:
    """Return ``key``; raise ``InvalidKeyError`` unless it is relative, ``/``-separated and stays where it points."""
    segments = key.split("/")
    if not _NO_NAMES.isdisjoint(segments) or "\0" in key:
        raise InvalidKeyError(
            f"{key!r} is not a key: keys are segments separated by '/', none of them empty, '.' or '..', without NUL"
        )
    if segments[0] == RESERVED:
        raise InvalidKeyError(f"{key!r} is not a key: {RESERVED!r} is kept for the store itself; choose another name")
    return key


def check_prefix(prefix: str) -> str:
    """Return ``prefix``, which may be empty, end in ``/`` or end inside a name; raise ``InvalidKeyError`` otherwise."""
    folder, _, _ = prefix.rpartition("/")
    if folder or prefix.startswith("/"):
        check_key(folder)
    return prefix


def check_folder(prefix: str) -> str:
    """Return ``prefix``, which is empty or ends in ``/``; raise ``InvalidKeyError`` otherwise."""
    if prefix and not prefix.endswith("/"):
        raise InvalidKeyError(f"{prefix!r} is not a folder: add the '/' at its end")
    return check_prefix(prefix)
