"""Which classes and images a folder holds, checked before anything is copied."""

from dataclasses import dataclass
from pathlib import Path

from handlers.bucket.layout import class_name, has_image_suffix
from handlers.client.errors import ClientError
from handlers.client.visible import visible


@dataclass(frozen=True)
class ClassFolder:
    """One class: its name, the folder, its images as paths below that folder, how many other files it holds."""

    name: str
    folder: Path
    images: tuple[Path, ...]
    others: int

    @property
    def size(self) -> int:
        """Bytes of all images."""
        return sum((self.folder / image).stat().st_size for image in self.images)


def find_classes(folder: Path, name: str | None = None) -> list[ClassFolder]:
    """The classes in ``folder``: one, when it holds images itself or ``name`` is given, else one per folder in it.

    Raises ``ClientError`` when there is none, a name is no class name, or a class folder holds no image.
    """
    if not folder.is_dir():
        raise ClientError(f"{visible(str(folder))} is not a folder: name a class folder or a folder of class folders")
    try:
        if name is not None or _holds_images(folder):
            found = [_read_class(folder, name if name is not None else folder.resolve().name)]
        else:
            found = [_read_class(each, each.name) for each in _folders(folder)]
    except OSError as error:
        raise ClientError(f"{visible(str(error.filename))} cannot be read: {error.strerror}") from error
    _check(folder, found)
    return found


def _holds_images(folder: Path) -> bool:
    return any(entry.is_file() and has_image_suffix(entry.name) for entry in folder.iterdir())


def _folders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _read_class(folder: Path, name: str) -> ClassFolder:
    try:
        checked = class_name(name)
    except ValueError as error:
        raise ClientError(f"the folder {visible(str(folder))[:200]} cannot be dropped: {error}; rename it") from error
    files = sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    images = tuple(path for path in files if has_image_suffix(path.name))
    return ClassFolder(checked, folder, images, len(files) - len(images))


def _check(folder: Path, found: list[ClassFolder]) -> None:
    if not found:
        raise ClientError(f"{visible(str(folder))} holds neither images nor class folders")
    if empty := [each.name for each in found if not each.images]:
        names = ", ".join(map(repr, empty[:5]))
        raise ClientError(f"no image in the class folder {names} of {visible(str(folder))}: fill it or remove it")
    names_seen: dict[str, Path] = {}
    for each in found:
        if other := names_seen.get(each.name):
            raise ClientError(f"{other.name!r} and {each.folder.name!r} are the same class {each.name!r}: merge them")
        names_seen[each.name] = each.folder
