"""Images that a version was unsure of, in a small folder that the serving engine fills and the page reads.

Off by default: what people ask is theirs. Nothing goes to the store before a person has given an image its class. Each
image is two files named by the sha256 of its bytes: the image, and a JSON document of
what was answered, written last. The folder is bounded in count, in bytes and in age. Standard library only, because the
worker that answers requests imports this.
"""

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from handlers.settings import LabellingSettings

logger = logging.getLogger(__name__)

FOLDER: Final = "unsure"
"""In the data folder, which engine and updater share."""
NOT_KEPT_HEADER: Final = "x-do-not-keep"
"""An image of a request with this header, whatever its value, is never kept."""
_IMAGE, _ANSWER, _PARTIAL = ".image", ".json", ".partial"
_DAY: Final = 86400.0
_ID_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class UnsureRules:
    """What is kept, where, and for how long. ``images`` 0: nothing."""

    folder: Path = Path()
    images: int = 0
    megabytes: int = 64
    days: float = 7.0
    below: float = 0.5

    @classmethod
    def of(cls, settings: "LabellingSettings", data: Path) -> Self:
        """As the settings say; data: the data folder."""
        folder = data.absolute() / FOLDER
        return cls(folder, settings.keep_images, settings.keep_mb, settings.keep_days, settings.below)


@dataclass(frozen=True, slots=True)
class Guess:
    """What was answered: the best class, and whether the image seemed to be of no known class (None: cannot tell)."""

    version: int
    class_name: str
    probability: float
    unknown: bool | None


@dataclass(frozen=True, slots=True)
class UnsureImage:
    """One that is kept; ``at``: seconds since 1970 when it was asked last."""

    id: str
    at: float
    guess: Guess

    def document(self) -> dict[str, Any]:
        """In JSON values."""
        return {"id": self.id, "at": self.at, **asdict(self.guess)}


class UnsureImages:
    """The folder. Processes and threads may share it: each write is one rename, and what has gone is gone."""

    def __init__(self, rules: UnsureRules) -> None:
        self._rules = rules
        self._lock = threading.Lock()

    @property
    def on(self) -> bool:
        """Whether images are kept at all."""
        return self._rules.images > 0

    def offer(self, data: bytes, guess: Guess, headers: Mapping[str, Any]) -> None:
        """Keep the image if the answer was unsure; never raises, because the answer must not suffer."""
        if not self.on or not (guess.unknown or guess.probability < self._rules.below):
            return
        if any(str(name).lower() == NOT_KEPT_HEADER for name in headers):
            return
        try:
            with self._lock:
                self._write(data, guess)
                self.sweep()
        except OSError as error:
            logger.warning("an unsure image is not kept in %s: %s", self._rules.folder, error)

    def sweep(self) -> None:
        """Delete what is too old, the oldest of what is too much, and everything where nothing is to be kept."""
        sizes = self._ages_and_sizes()
        kept, total = 0, 0
        oldest = time.time() - self._rules.days * _DAY
        for name, (at, size) in sorted(sizes.items(), key=lambda item: -item[1][0]):
            kept, total = kept + 1, total + size
            if kept > self._rules.images or total > self._rules.megabytes * 1024 * 1024 or at < oldest:
                self.remove(name)

    def newest(self, count: int) -> list[UnsureImage]:
        """The last ones, newest first."""
        self.sweep()
        found = [self._read(name) for name in self._ages_and_sizes()]
        return sorted((one for one in found if one is not None), key=lambda one: -one.at)[:count]

    def data(self, name: str) -> bytes | None:
        """The image as it was sent; None where there is none (any more)."""
        if not _is_id(name):
            return None
        try:
            return (self._rules.folder / (name + _IMAGE)).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> bool:
        """Forget an image; whether it was there."""
        if not _is_id(name):
            return False
        (self._rules.folder / (name + _ANSWER)).unlink(missing_ok=True)
        try:
            (self._rules.folder / (name + _IMAGE)).unlink()
        except FileNotFoundError:
            return False
        return True

    def _write(self, data: bytes, guess: Guess) -> None:
        folder = self._rules.folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = hashlib.sha256(data).hexdigest()
        answer = json.dumps({"at": time.time(), **asdict(guess)}).encode()
        for suffix, content in ((_IMAGE, data), (_ANSWER, answer)):
            partial = folder / f"{name}{suffix}.{os.getpid()}-{threading.get_ident()}{_PARTIAL}"
            partial.write_bytes(content)
            partial.replace(folder / (name + suffix))

    def _read(self, name: str) -> UnsureImage | None:
        try:
            answer = json.loads((self._rules.folder / (name + _ANSWER)).read_bytes())
            return UnsureImage(name, float(answer.pop("at")), Guess(**answer))
        except FileNotFoundError:  # it is being written, or has just gone
            return None
        except (ValueError, TypeError, KeyError) as error:
            logger.warning("%s%s in %s cannot be read and is left out: %s", name, _ANSWER, self._rules.folder, error)
            return None

    def _ages_and_sizes(self) -> dict[str, tuple[float, int]]:
        """(seconds since 1970, bytes) of each image; what a killed process left half written is deleted."""
        found = {}
        try:
            entries = list(os.scandir(self._rules.folder))
        except FileNotFoundError:
            return {}
        for entry in entries:
            try:
                state = entry.stat()
                if entry.name.endswith(_PARTIAL) and time.time() - state.st_mtime > _DAY:
                    Path(entry.path).unlink()
            except FileNotFoundError:
                continue
            if entry.name.endswith(_IMAGE):
                found[entry.name.removesuffix(_IMAGE)] = (state.st_mtime, state.st_size)
        return found


def _is_id(name: str) -> bool:
    return len(name) == _ID_LENGTH and all(letter in "0123456789abcdef" for letter in name)
