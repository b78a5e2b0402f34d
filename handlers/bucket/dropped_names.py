"""Which files of a drop count, told by their names: one rule for ``lucir drop`` and for copies into ``incoming/``.

What an image is, its content decides (``handlers.inference.formats``). A name only tells what is not meant to be one:
what operating systems, file managers and copying programs leave beside people's files, at any depth.
"""

from collections.abc import Collection
from mimetypes import MimeTypes
from typing import Final

_SERVICE_NAMES: Final = frozenset(
    {
        *("__macosx", "icon\r"),
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),
        *("$recycle.bin", "recycler", "system volume information"),
        "lost+found",
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),
        *("__pycache__", "node_modules"),
    }
)
"""In lower case: of macOS, Windows, Linux, network storage, Python and JavaScript."""
_UNFINISHED: Final = (".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp", ".swp", "~")
"""Ends of names that programs give to files that they have not finished."""
_SPLITS: Final = frozenset(
    {"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval", "evaluation", "holdout"}
)
"""What the parts of a data set are called, in lower case."""
_KINDS: Final = MimeTypes().types_map[True]
"""Suffix -> kind of file; Python's own table, not this machine's."""


def why_left_alone(path: str) -> str | None:
    """Why a file with this path (``/`` between its segments) is left where it is; None when it counts."""
    for segment in path.split("/"):
        name = segment.lower()
        if name.startswith("."):
            return f"{segment!r} begins with a dot, as hidden files do"
        if name in _SERVICE_NAMES or name.startswith((".trash-", "~$")):
            return f"{segment!r} belongs to a program or to the system"
    if name.endswith(_UNFINISHED):
        return f"{segment!r} has the name of an unfinished copy"
    return None


def looks_like_another_kind(path: str) -> bool:
    """Whether the suffix is that of something else than an image, e.g. ``.txt``; an unknown one is not, nor is none."""
    _, dot, suffix = path.rpartition("/")[2].rpartition(".")
    kind = _KINDS.get(f".{suffix.lower()}") if dot else None
    return kind is not None and not kind.startswith("image/")


def is_part_of_a_data_set(name: str) -> bool:
    """Whether a folder is called as the parts of a data set are: ``train``, ``val`` ..."""
    return name.lower() in _SPLITS


def holds_classes(name: str, loose_images: int, subfolders: Collection[str]) -> bool:
    """Whether a folder that is called as parts of a data set are holds class folders, as it seems, not images."""
    return is_part_of_a_data_set(name) and loose_images == 0 and len(subfolders) > 1
