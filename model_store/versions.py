"""Versions of the model in an object store: immutable folders ``versions/<n>/`` and the pointer to the served one.

A version exists once its manifest does, which is written last. Its number is claimed first (``claim.json``), so that
two writers cannot mix their files below one number, and a number is never used again, not even a half-written one's.
"""

import logging
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from model_store.documents import RESTORE, NewerFormatError, RemovalLog, parse
from model_store.documents import CorruptVersionError as CorruptVersionError
from model_store.documents import VersionNotFoundError as VersionNotFoundError
from model_store.layout import CLAIM as CLAIM
from model_store.layout import DOCUMENT_LIMIT as DOCUMENT_LIMIT
from model_store.layout import EVALUATION, REMOVED, is_aside
from model_store.layout import MANIFEST as MANIFEST
from model_store.layout import PREFIX as PREFIX
from model_store.layout import file_key as file_key
from model_store.local_files import os_errors, record, sibling
from model_store.manifest import Evaluation, FileRecord, Manifest, Pointer, now
from model_store.objects import ObjectNotFoundError, ObjectStore, ObjectTooLargeError, PreconditionFailedError, exists
from model_store.pointer_file import POINTER as POINTER
from model_store.pointer_file import PointerFile
from model_store.publication import Publication, complete_with_records

logger = logging.getLogger(__name__)


FILE_LIMIT = 16 * 1024**3
"""Largest file of a version that is fetched, in bytes, whatever its manifest says."""

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True)
class Survey:
    """What one listing shows of all versions: what is decided of it holds however old the listing is."""

    complete: list[int]
    """Ascending, the refused ones too."""
    used: list[int]
    """Numbers with anything below them, ascending."""
    aside: dict[int, list[str]]
    """By number: the keys of what attempts have put aside."""


class VersionStore:
    """The versions below ``versions/`` of an object store.

    epoch: of who writes, where that is an updater: the term of its lease. The pointer remembers the highest that wrote
    it, and is written by no lower one. Persons have none.
    """

    def __init__(self, objects: ObjectStore, epoch: Callable[[], int | None] = lambda: None) -> None:
        self._objects = objects
        self._epoch = epoch
        self._pointer = PointerFile(objects, epoch)

    @property
    def objects(self) -> ObjectStore:
        """The store they lie in."""
        return self._objects

    def numbers(self) -> list[int]:
        """Complete versions, ascending, the refused ones too. One listing, however many there are."""
        return self.survey().complete

    def survey(self) -> Survey:
        """Everything that one listing shows."""
        complete, used, aside = list[int](), set[int](), dict[int, list[str]]()
        for info in self._objects.list(PREFIX):
            words = info.key.split("/")
            if len(words) < 3 or not _NUMBER.fullmatch(words[1]):
                continue
            used.add(int(words[1]))
            if words[2:] == [MANIFEST]:
                complete.append(int(words[1]))
            elif is_aside(info.key):
                aside.setdefault(int(words[1]), []).append(info.key)
        return Survey(sorted(complete), sorted(used), aside)

    def used(self) -> list[int]:
        """Numbers with anything below them, ascending: those of half-written versions too."""
        return sorted(int(name) for name in self._objects.folders(PREFIX) if _NUMBER.fullmatch(name))

    def next_number(self) -> int:
        """The number for the next version: above every one that was begun, completed, pointed to, or removed.

        What was removed is read from the record of it, for a listing may be older than all that a number has been.
        """
        used = self.used()
        try:
            pointer = self.current()
        except CorruptVersionError:  # to be replaced by the next ``point_to``; the folders tell enough
            pointer = None
        if pointer is not None:
            used += [pointer.version, pointer.previous or 0, *pointer.removing]
        try:
            used += self.removals().numbers
        except (CorruptVersionError, NewerFormatError) as error:  # removals wait for a person, learning need not
            logger.warning("the record of removals cannot be read: the numbers are those in the store: %s", error)
        return max(used, default=0) + 1

    def removals(self) -> RemovalLog:
        """The record of what was removed. Raises ``CorruptVersionError`` when it was edited."""
        try:
            data = self._objects.read(REMOVED, limit=DOCUMENT_LIMIT)
        except ObjectNotFoundError:
            return RemovalLog()
        return parse(RemovalLog, data, self._name(REMOVED), "move it away: the record begins again")

    def is_complete(self, number: int) -> bool:
        """Whether a version has its manifest, which may be damaged."""
        return exists(self._objects, file_key(number, MANIFEST))

    def manifest(self, number: int) -> Manifest:
        """A version's manifest. Raises ``VersionNotFoundError``, ``CorruptVersionError``."""
        key = file_key(number, MANIFEST)
        try:
            manifest = parse(Manifest, self._objects.read(key, limit=DOCUMENT_LIMIT), self._name(key), RESTORE)
        except ObjectNotFoundError:
            raise self._unknown(number) from None
        except ObjectTooLargeError as error:
            raise CorruptVersionError(f"{self._name(key)} is not a manifest: {error}; {RESTORE}") from error
        bad = [name for name in manifest.files if not _FILE_NAME.fullmatch(name)]
        if manifest.version != number or bad:
            problem = f"names files {bad!r}" if bad else f"says it is version {manifest.version}"
            raise CorruptVersionError(f"{self._name(key)} was not written by lucir: it {problem}; {RESTORE}")
        return manifest

    def evaluation(self, number: int) -> Evaluation:
        """What was measured on a version, verified. Raises as ``manifest`` does."""
        expected = _recorded(self.manifest(number), EVALUATION)
        with tempfile.TemporaryDirectory(prefix="lucir-") as folder:
            path = Path(folder) / EVALUATION
            self._fetch(number, EVALUATION, expected, path)
            return parse(Evaluation, path.read_bytes(), self._name(file_key(number, EVALUATION)), RESTORE)

    def publish(self, manifest: Manifest, files: Mapping[str, Path]) -> Manifest:
        """Upload ``files`` (name -> path) and, last, ``manifest`` completed with their sizes and hashes.

        Publishing the same again completes what a crash cut short: then what an earlier attempt of the same update had
        sealed is the version, and is returned (see ``model_store.publication``). Raises ``PreconditionFailedError``
        when another update has taken the number: take ``next_number()`` again.
        """
        bad = [name for name in files if not _FILE_NAME.fullmatch(name) or name in {MANIFEST, CLAIM}]
        if bad or manifest.files:
            raise ValueError(f"publish takes a manifest without files, and plain file names: {sorted(bad)!r}")
        complete = complete_with_records(manifest, files)
        if self.is_complete(manifest.version):
            return self._published(complete)
        published = Publication(self._objects, complete, files, self._epoch()).run()
        logger.info("version published", extra={"version": published.version, "files": len(published.files)})
        return published

    def current(self) -> Pointer | None:
        """The pointer; None before the first version is published. Raises ``CorruptVersionError``."""
        return self._pointer.read()

    def point_to(self, version: int, reason: str) -> Pointer:
        """Let every server serve ``version``. Pointing there already changes nothing.

        Raises ``VersionNotFoundError``, ``CorruptVersionError``, and ``PreconditionFailedError`` when another writer
        moved the pointer meanwhile, or an updater of a later epoch has written it.
        """
        found = self._pointer.look()
        if found.pointer is not None and version in found.pointer.removing:
            raise self._removed(version)
        self.manifest(version)  # read after the pointer: a removal that is decided later changes the pointer's tag
        old = found.pointer
        if old is not None and old.version == version:
            return old
        pointer = Pointer(
            version=version,
            previous=old.version if old is not None else None,
            reason=reason,
            changed_at=now(),
            removing=old.removing if old is not None else (),
        )
        try:
            pointer = self._pointer.replace(found, pointer)
        except PreconditionFailedError:
            if not self.is_complete(version):
                raise self._removed(version) from None
            raise
        logger.info("pointer moved", extra={"version": pointer.version, "previous": pointer.previous})
        return pointer

    def begin_epoch(self) -> None:
        """Write the present epoch into the pointer, where there is one: every earlier one cannot move it any more.

        Raises ``PreconditionFailedError`` when a later epoch has begun.
        """
        if self._epoch() is not None:
            self._pointer.change(lambda pointer: pointer)

    def decide_removal(self, numbers: Iterable[int]) -> Pointer | None:
        """Decide that these versions go, but none that the pointer names; return the pointer that says so.

        From then on the pointer cannot name them, and any process may complete the removal. None if there is no
        pointer: then nothing is decided.
        """
        wanted = set(numbers)

        def add(pointer: Pointer) -> Pointer:
            removing = {*pointer.removing, *wanted} - {pointer.version, pointer.previous}
            return pointer.model_copy(update={"removing": tuple(sorted(removing))})

        return self._pointer.change(add)

    def end_removal(self, numbers: Iterable[int]) -> None:
        """Nothing is left of these versions."""
        gone = set(numbers)

        def take_out(pointer: Pointer) -> Pointer:
            return pointer.model_copy(update={"removing": tuple(n for n in pointer.removing if n not in gone)})

        self._pointer.change(take_out)

    def rollback(self, version: int, reason: str = "rollback") -> Pointer:
        """``point_to`` a version after every file of it has been read and verified. Raises as ``verify`` does."""
        self.verify(version)
        return self.point_to(version, reason)

    def verify(self, number: int) -> Manifest:
        """Read every file of a version. Raises ``VersionNotFoundError``, ``CorruptVersionError``."""
        manifest = self.manifest(number)
        for name, expected in manifest.files.items():
            with tempfile.TemporaryDirectory(prefix="lucir-") as folder:
                self._fetch(number, name, expected, Path(folder) / name)
        return manifest

    def fetch(self, number: int, folder: Path, names: Iterable[str]) -> Manifest:
        """Download files of a version to ``folder``, each put in place only when its hash is right.

        Raises ``VersionNotFoundError``, ``CorruptVersionError``, ``ObjectNotFoundError`` for a name it never had.
        """
        manifest = self.manifest(number)
        for name in names:
            self._fetch(number, name, _recorded(manifest, name), folder / name)
        return manifest

    def _fetch(self, number: int, name: str, expected: FileRecord, path: Path) -> None:
        key = file_key(number, name)
        with sibling(path) as temporary:
            try:
                self._objects.download(key, temporary, limit=min(expected.size, FILE_LIMIT))
            except (ObjectNotFoundError, ObjectTooLargeError) as error:
                if not self.is_complete(number):
                    raise self._removed(number) from error
                raise CorruptVersionError(f"version {number} is damaged: {error}; {RESTORE}") from error
            with os_errors(f"write {path}"):
                found = record(temporary)
                if found != expected:
                    raise CorruptVersionError(
                        f"{self._name(key)} is not what its manifest records ({found.size} bytes, sha256 "
                        f"{found.sha256[:12]}..., not {expected.size} and {expected.sha256[:12]}...); {RESTORE}"
                    )
                temporary.replace(path)

    def _published(self, manifest: Manifest) -> Manifest:
        """What is published under this number, if it is the same; versions are immutable."""
        there = self.manifest(manifest.version)
        if (there.update_id, there.files) != (manifest.update_id, manifest.files):
            raise PreconditionFailedError(
                f"version {manifest.version} is published already with other files: publish under the next number"
            )
        return there

    def _unknown(self, number: int) -> VersionNotFoundError:
        known = ", ".join(map(str, self.numbers()[-10:])) or "none yet"
        return VersionNotFoundError(f"there is no version {number} in {self._objects.url}; there are: {known}")

    @staticmethod
    def _removed(number: int) -> VersionNotFoundError:
        return VersionNotFoundError(f"version {number} was removed while it was being used: look at the pointer again")

    def _name(self, key: str) -> str:
        return f"{self._objects.url}/{key}"


def _recorded(manifest: Manifest, name: str) -> FileRecord:
    if name not in manifest.files:
        raise ObjectNotFoundError(
            f"version {manifest.version} has no file {name!r}; it has {', '.join(sorted(manifest.files))}"
        )
    return manifest.files[name]
