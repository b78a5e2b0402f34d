"""Where people's files lie, and how any name that they choose becomes a key."""

import hashlib
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import quote

INCOMING = "incoming/"
EVALUATION = "evaluation/"
ARCHIVE = "archive/"
REJECTED = "rejected/"

READY_MARKER = "_READY"
REASON_SUFFIX = ".reason.json"
LOOSE_FOLDER = "_no_class"
"""Where files that lay in no class folder go below ``rejected/<update id>/``: no class name starts with ``_``."""

UNDECODABLE = "\ufffd"
"""Unicode's sign for what could not be read as text: a store spells names with it that are not UTF-8."""

LONGEST_SEGMENT = 200
"""Bytes: file systems allow 255, and the reason's suffix must fit as well."""
LONGEST_KEY = 900
"""Bytes: S3 allows 1024, and the reason's suffix must fit as well."""

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".jpe", ".jfif", ".heic", ".heif", ".avif"}
)


def split_incoming(key: str) -> tuple[str, str]:
    """(class folder, path below it) of a key below ``incoming/``; the folder is empty for a file that lies in none."""
    folder, slash, path = key.removeprefix(INCOMING).partition("/")
    return (folder, path) if slash else ("", folder)


def has_image_suffix(path: str) -> bool:
    """Whether the suffix is that of an image. Use it only where the content cannot be read: the content decides."""
    # Not through ``PurePosixPath``, which is slow and remembers every name: a listing asks this of each object.
    stem, dot, suffix = path.rpartition(".")
    return dot + suffix.lower() in SUFFIXES and stem.rpartition("/")[2] != ""


def safe_segment(segment: str) -> str:
    """A name any store accepts: odd characters percent-encoded, too long ones shortened with a hash of the whole."""
    if segment in {".", ".."}:
        safe = segment.replace(".", "%2E")
    else:
        safe = "".join(_safe_character(character) for character in segment) or "%00"
    if len(safe.encode()) <= LONGEST_SEGMENT:
        return safe
    digest = hashlib.sha256(segment.encode(errors="surrogatepass")).hexdigest()[:16]
    suffix = PurePosixPath(safe).suffix if has_image_suffix(safe) else ""
    return f"{_cut(safe, LONGEST_SEGMENT - len(digest) - len(suffix) - 1)}~{digest}{suffix}"


def target_key(prefix: str, update_id: str, folder: str, path: str, taken: set[str]) -> str:
    """Where an original goes: ``<prefix><update id>/<folder>/<path>``, made safe and unlike every key in ``taken``.

    Adds the key, and that of its reason, to ``taken``.
    """
    base = f"{prefix}{update_id}/{safe_segment(folder)}/"
    tail = "/".join(safe_segment(segment) for segment in path.split("/"))
    if len((base + tail).encode()) > LONGEST_KEY:
        digest = hashlib.sha256(path.encode(errors="surrogatepass")).hexdigest()[:32]
        tail = digest + PurePosixPath(safe_segment(path.rsplit("/", 1)[-1])).suffix[:8]
    key, number = base + tail, 1
    while key in taken or key + REASON_SUFFIX in taken:
        number += 1
        stem, dot, suffix = tail.rpartition(".")
        key = f"{base}{stem}~{number}.{suffix}" if dot and "/" not in suffix else f"{base}{tail}~{number}"
    taken.update((key, key + REASON_SUFFIX))
    return key


def _safe_character(character: str) -> str:
    if character in {"%", "\\", UNDECODABLE} or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
        return quote(character.encode(errors="surrogatepass"), safe="")
    return character


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")
