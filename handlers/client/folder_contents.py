"""What lies below a folder of this machine: images, other files, and what is left alone, each with its reason.

Links are followed, for a person put them there; each folder is entered once, so that none leads in a circle.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from handlers.bucket.dropped_names import why_left_alone
from handlers.bucket.layout import has_image_suffix
from handlers.inference.formats import IMAGE_KINDS, recognise

_HEAD: Final = 64
"""Bytes from which the kind of a file is told."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder that is not dropped, by its path below what was named, and why."""

    path: Path
    reason: str


@dataclass
class Contents:
    """Paths below a folder, sorted."""

    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    """Files that are not images."""
    left: list[LeftOut] = field(default_factory=list)
    """What does not count, whatever it holds: hidden files, those of programs, links that lead nowhere."""
    folders: list[Path] = field(default_factory=list)
    """Folders directly below it."""

    def by_folder(self) -> dict[str, "Contents"]:
        """What lies in each of the folders, by paths below that folder."""
        parts = {path.name: Contents() for path in self.folders}
        for path in self.images:
            if path.parts[0] in parts:
                parts[path.parts[0]].images.append(path.relative_to(path.parts[0]))
        for path in self.others:
            if path.parts[0] in parts:
                parts[path.parts[0]].others.append(path.relative_to(path.parts[0]))
        return parts


def look_into(folder: Path) -> Contents:
    """Everything below ``folder``. Raises ``OSError`` with the name of what cannot be read."""
    found = Contents()
    entered = {_identity(folder.stat())}
    for path, is_image in _walk(folder, Path(), entered, found):
        (found.images if is_image else found.others).append(path)
    return found


def _walk(root: Path, place: Path, entered: set[tuple[int, int]], found: Contents) -> Iterator[tuple[Path, bool]]:
    """(path, whether it is an image) of every file that counts, in the order of the names."""
    for name in sorted(os.listdir(root / place)):  # noqa: PTH208 (names are sorted, not paths)
        path = place / name
        reason = why_left_alone(name)
        try:
            status = (root / path).stat()
        except FileNotFoundError:
            reason = reason or "a link that leads nowhere"
        except OSError as error:
            if not (root / path).is_symlink():
                raise
            reason = reason or f"a link that cannot be followed ({(error.strerror or str(error)).lower()})"
        if reason is not None:
            found.left.append(LeftOut(path, reason))
        elif stat.S_ISREG(status.st_mode):
            yield path, _is_image(root / path)
        elif not stat.S_ISDIR(status.st_mode):
            found.left.append(LeftOut(path, "neither a file nor a folder"))
        elif _identity(status) in entered:
            found.left.append(LeftOut(path, "a link to a folder that was read already"))
        else:
            entered.add(_identity(status))
            if place == Path():
                found.folders.append(path)
            yield from _walk(root, path, entered, found)


def _is_image(path: Path) -> bool:
    """By its content; a damaged one still by its name, so that the updater says what is wrong with it."""
    with path.open("rb") as file:
        return recognise(file.read(_HEAD)) in IMAGE_KINDS or has_image_suffix(path.name)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
