"""Which classes and images a folder holds, checked before anything is copied.

The whole layout is looked at before labels are taken from it: where it can be read in two ways, both are named and
nothing is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handlers.bucket.dropped_names import TwoReadingsError, class_folders, class_name
from handlers.client.errors import ClientError
from handlers.client.folder_contents import Contents, LeftOut, look_into
from handlers.client.visible import visible

_NAMED = 5
"""Names that a message lists."""


@dataclass(frozen=True)
class ClassFolder:
    """One class: its name, the folder, its images and its other files as paths below that folder."""

    name: str
    folder: Path
    images: tuple[Path, ...]
    others: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes of all images."""
        return sum((self.folder / image).stat().st_size for image in self.images)


@dataclass(frozen=True)
class Layout:
    """The classes of a folder, and what is left out of them: by its path below the folder, with the reason."""

    classes: tuple[ClassFolder, ...]
    left: tuple[LeftOut, ...]


def read_layout(folder: Path, name: str | None = None) -> Layout:
    """The classes in ``folder``: one, when it holds images only or ``name`` is given, else one per folder in it.

    Raises ``ClientError`` when there is none, when the folder can be read in two ways, when a name is not a class name,
    or when a class folder holds no image.
    """
    if not folder.is_dir():
        raise ClientError(_no_folder(folder))
    try:
        contents = look_into(folder)
    except OSError as error:
        raise ClientError(f"{visible(str(error.filename))} cannot be read: {error.strerror}") from error
    if name is not None or not _has_classes(folder, contents):
        found = [_make_class(folder, contents, name if name is not None else _own_name(folder))]
        found = found if contents.images else []
        left = contents.left
    else:
        found = [_make_class(folder / each, part, each) for each, part in contents.by_folder().items()]
        stray = [path for path in contents.others if len(path.parts) == 1]
        left = [*(LeftOut(path, "not an image, and in no class folder") for path in stray), *contents.left]
    _check(folder, found)
    return Layout(tuple(found), tuple(sorted(left, key=lambda one: one.path)))


def images_below(folder: Path) -> list[Path]:
    """The image files in ``folder`` at any depth, sorted. Raises ``ClientError``."""
    try:
        return sorted(folder / path for path in look_into(folder).images)
    except OSError as error:
        raise ClientError(f"{visible(str(error.filename))} cannot be read: {error.strerror}") from error


def _no_folder(folder: Path) -> str:
    shown, wanted = visible(str(folder)), "name a class folder or a folder of class folders"
    if folder.exists():
        return f"{shown} is not a folder: {wanted}; a single image is taught by lucir correct {shown} --class NAME"
    return f"there is no folder {shown} here: {wanted}"


def _has_classes(folder: Path, contents: Contents) -> bool:
    """Whether its folders are classes, not what a class's images are kept in. Raises ``ClientError`` if it may be."""
    try:
        images = (path.parts for path in contents.images)
        return class_folders(images, empty=bool(contents.folders)) is not None
    except TwoReadingsError as two:
        raise ClientError(_both_readings(folder, two)) from None


def _own_name(folder: Path) -> str:
    """The name the folder was given on the command line, not the name of a link's target."""
    return folder.name if folder.name not in {"", ".."} else folder.resolve().name


def _both_readings(folder: Path, two: TwoReadingsError) -> str:
    """With the command for each of them."""
    shown, first = visible(str(folder)), visible(two.names[0])
    one = visible(str(folder / two.names[0]))
    if two.why == "loose images":
        return (
            f"{shown} holds {len(two.names)} images of its own ({_list(two.names)}) beside folders "
            f"with images ({_list(two.folders)}). If all are one class: lucir drop {shown} --class NAME. If the "
            "folders are the classes: move the images that lie beside them away"
        )
    if two.why == "parts":
        return (
            f"{shown} holds folders that are called as parts of a data set are ({_list(two.names)}). If the classes "
            f"are the folders in them: lucir drop {one}, and the same for each part to learn from. If {first!r} is a "
            f"class itself: lucir drop {one} --class {first}"
        )
    return (
        f"{shown} holds the folder {first!r}, which holds folders ({_list(two.folders)}). If those are the "
        f"classes: lucir drop {one}. If all are one class: lucir drop {one} --class {first}"
    )


def _make_class(folder: Path, contents: Contents, name: str) -> ClassFolder:
    try:
        checked = class_name(name)
    except ValueError as error:
        raise ClientError(f"the folder {visible(str(folder))[:200]} cannot be dropped: {error}; rename it") from error
    return ClassFolder(checked, folder, tuple(contents.images), tuple(contents.others))


def _check(folder: Path, found: list[ClassFolder]) -> None:
    if not found:
        raise ClientError(f"{visible(str(folder))} holds neither images nor class folders")
    if empty := [each.name for each in found if not each.images]:
        names = ", ".join(map(repr, empty[:_NAMED]))
        raise ClientError(f"no image in the class folder {names} of {visible(str(folder))}: fill it or remove it")
    names_seen: dict[str, Path] = {}
    for each in found:
        if other := names_seen.get(each.name):
            raise ClientError(f"{other.name!r} and {each.folder.name!r} are the same class {each.name!r}: merge them")
        names_seen[each.name] = each.folder


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(visible(name)[:100] for name in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
