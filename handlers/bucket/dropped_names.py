"""What names say: which files of a drop count, which folders are classes, what a class may be called. One rule for
``lucir drop``, the page, copies into ``incoming/``, edits and corrections.

What an image is, its content decides (``handlers.inference.formats``). A name only tells what is not meant to be one:
what operating systems, file managers and copying programs leave beside people's files, at any depth.
"""

import unicodedata
from collections.abc import Collection, Iterable, Sequence
from mimetypes import MimeTypes
from typing import Final, Literal

from handlers.bucket.layout import UNDECODABLE, has_image_suffix

LONGEST_CLASS_NAME: Final = 100
"""Characters."""
LARGEST_CLASS_NAME: Final = 255
"""Bytes of UTF-8, which no file system's names exceed."""

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
"""Ends of names that programs give to files and folders that they have not finished."""
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


def class_name(folder: str) -> str:
    """The class that a folder stands for: its name, NFC-normalised. Raises ``ValueError`` saying what is wrong.

    Each is one that a folder in ``incoming/`` may have, for that is where its next images are dropped.
    """
    name = unicodedata.normalize("NFC", folder)
    if not name.strip() or name in {".", ".."}:
        raise ValueError(f"{name!r} is not a class name")
    if len(name) > LONGEST_CLASS_NAME:
        raise ValueError(f"the class name has {len(name)} characters; at most {LONGEST_CLASS_NAME} are allowed")
    if "/" in name:
        raise ValueError(f"{name!r} is not a class name: it holds a '/'")
    if name.startswith("_"):
        raise ValueError(f"the class name {name!r} starts with an underscore, which is kept for the service itself")
    if UNDECODABLE in name:
        raise ValueError(f"the class name {name!a} is not UTF-8: {UNDECODABLE!a} stands for what could not be read")
    # Cc: control, Cs: lone surrogates (a file name that is not UTF-8), Zl and Zp: line and paragraph separators.
    if bad := [character for character in name if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}]:
        raise ValueError(f"the class name {name!a} holds the control character {bad[0]!a}")
    if name != name.strip():
        raise ValueError(f"the class name {name!r} begins or ends with a blank, which nobody sees: leave it out")
    if (size := len(name.encode())) > LARGEST_CLASS_NAME:
        raise ValueError(f"the class name has {size} bytes; at most {LARGEST_CLASS_NAME} fit into a folder's name")
    if (reason := why_left_alone(name)) is not None:
        raise ValueError(f"{name!r} is not a class name: {reason}, and such folders are left alone")
    return name


def looks_like_another_kind(path: str) -> bool:
    """Whether the suffix is that of something else than an image, e.g. ``.txt``; an unknown one is not, nor is none."""
    _, dot, suffix = path.rpartition("/")[2].rpartition(".")
    kind = _KINDS.get(f".{suffix.lower()}") if dot else None
    return kind is not None and not kind.startswith("image/")


def looks_like_an_image(path: str) -> bool:
    """Whether the suffix is that of an image, or there is none; for who cannot look at the content, which decides."""
    name = path.rpartition("/")[2]
    kind = _KINDS.get(f".{name.rpartition('.')[2].lower()}", "")
    return "." not in name or has_image_suffix(path) or kind.startswith("image/")


def holds_classes(name: str, loose_images: int, subfolders: Collection[str]) -> bool:
    """Whether a folder that is called as parts of a data set are holds class folders, as it seems, not images."""
    return name.lower() in _SPLITS and loose_images == 0 and len(subfolders) > 1


class TwoReadingsError(ValueError):
    """The folders in a folder may be its classes, or something else: a person has to say."""

    def __init__(
        self, why: Literal["loose images", "parts", "one folder"], names: Sequence[str], folders: Sequence[str]
    ) -> None:
        super().__init__(why)
        self.why = why
        self.names = tuple(names)
        """The images that lie beside the folders, the parts of a data set, or the one folder."""
        self.folders = tuple(folders)
        """The folders with images; of the one folder, those in it."""


def class_folders(images: Iterable[Sequence[str]], *, empty: bool = False) -> tuple[str, ...] | None:
    """Those of the folders in a folder that hold images, where they are its classes; None where all is one class.

    images: the path of each below the folder, in segments; empty: whether it holds folders without images too. Without
    a loose image each folder is meant to be a class; one folder beside loose images is none. Raises
    ``TwoReadingsError``.
    """
    loose, parts = _by_folder(images)
    if len(parts) < 2 and (loose or not (parts or empty)):
        return None
    if loose:
        raise TwoReadingsError("loose images", loose, tuple(parts))
    content = {name: _by_folder(part) for name, part in parts.items()}
    splits = [name for name in parts if name.lower() in _SPLITS]
    nested = [name for name in splits if holds_classes(name, len(content[name][0]), content[name][1])]
    if splits and (nested or len(splits) == len(parts)):
        raise TwoReadingsError("parts", splits, tuple(parts))
    for only, (beside, inner) in content.items():
        if len(parts) == 1 and not beside and len(inner) > 1:
            raise TwoReadingsError("one folder", (only,), tuple(inner))
    return tuple(parts)


def _by_folder(images: Iterable[Sequence[str]]) -> tuple[list[str], dict[str, list[Sequence[str]]]]:
    """(names of the images that lie in no folder, paths of the others below their first folder, by its name)."""
    loose: list[str] = []
    parts: dict[str, list[Sequence[str]]] = {}
    for first, *rest in images:
        if rest:
            parts.setdefault(first, []).append(rest)
        else:
            loose.append(first)
    return loose, parts
