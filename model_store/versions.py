"""Versions of the model in an object store: immutable folders ``versions/<n>/`` and the pointer to the served one.

A version exists once its manifest does, which is written last. Its number is claimed first (``claim.json``), so that
two writers cannot mix their files below one number, and a number is never used again, not even a half-written one's.
"""

import logging
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from model_store.documents import RESTORE, Claim, encode, parse
from model_store.documents import CorruptVersionError as CorruptVersionError
from model_store.documents import VersionNotFoundError as VersionNotFoundError
from model_store.layout import EVALUATION
from model_store.local_files import os_errors, record, sibling
from model_store.manifest import Evaluation, FileRecord, Manifest, Pointer, now
from model_store.objects import (
    ObjectNotFoundError,
    ObjectStore,
    ObjectTooLargeError,
    PreconditionFailedError,
    StoreError,
)

logger = logging.getLogger(__name__)

PREFIX = "versions/"
POINTER = f"{PREFIX}current.json"
MANIFEST = "manifest.json"
CLAIM = "claim.json"

DOCUMENT_LIMIT = 64 * 1024 * 1024
"""Largest JSON document that is read, in bytes: the evaluation of some thousand classes fits."""
FILE_LIMIT = 16 * 1024**3
"""Largest file of a version that is fetched, in bytes, whatever its manifest says."""

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


class VersionStore:
    """The versions below ``versions/`` of an object store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    @property
    def objects(self) -> ObjectStore:
        """The store they lie in."""
        return self._objects

    def numbers(self) -> list[int]:
        """Complete versions, ascending, the refused ones too. One listing, however many there are."""
        keys = (info.key.split("/") for info in self._objects.list(PREFIX))
        return sorted(int(key[1]) for key in keys if key[2:] == [MANIFEST] and _NUMBER.fullmatch(key[1]))

    def used(self) -> list[int]:
        """Numbers with anything below them, ascending: those of half-written versions too."""
        return sorted(int(name) for name in self._objects.folders(PREFIX) if _NUMBER.fullmatch(name))

    def next_number(self) -> int:
        """The number for the next version: above every one that was begun, completed, or pointed to."""
        used = self.used()
        try:
            pointer = self.current()
        except CorruptVersionError:  # to be replaced by the next ``point_to``; the folders tell enough
            pointer = None
        if pointer is not None:
            used += [pointer.version, pointer.previous or 0]
        return max(used, default=0) + 1

    def manifest(self, number: int) -> Manifest:
        """A version's manifest. Raises ``VersionNotFoundError``, ``CorruptVersionError``."""
        key = file_key(number, MANIFEST)
        try:
            manifest = parse(Manifest, self._objects.read(key, limit=DOCUMENT_LIMIT), self._name(key), RESTORE)
        except ObjectNotFoundError:
            raise self._unknown(number) from None
        except ObjectTooLargeError as error:
            raise CorruptVersionError(f"{self._name(key)} is no manifest: {error}; {RESTORE}") from error
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

        Publishing the same again completes what a crash cut short. Raises ``PreconditionFailedError`` when another
        update has taken the number: take ``next_number()`` again.
        """
        bad = [name for name in files if not _FILE_NAME.fullmatch(name) or name in {MANIFEST, CLAIM}]
        if bad or manifest.files:
            raise ValueError(f"publish takes a manifest without files, and plain file names: {sorted(bad)!r}")
        with os_errors(f"read the files of version {manifest.version}"):
            records = {name: record(path) for name, path in sorted(files.items())}
        complete = manifest.model_copy(update={"files": records})
        self._claim(complete)
        if self._has_manifest(manifest.version):
            return self._published(complete)
        for name, path in sorted(files.items()):
            uploaded = self._objects.upload(file_key(manifest.version, name), path)
            if uploaded.size != records[name].size:
                raise StoreError(f"{path} changed while it was uploaded: publish version {manifest.version} again")
        try:
            self._objects.write(file_key(manifest.version, MANIFEST), encode(complete), only_if_absent=True)
        except PreconditionFailedError:
            return self._published(complete)
        logger.info("version published", extra={"version": manifest.version, "files": len(records)})
        return complete

    def current(self) -> Pointer | None:
        """The pointer; None before the first version is published. Raises ``CorruptVersionError``."""
        try:
            data = self._objects.read(POINTER, limit=DOCUMENT_LIMIT)
        except ObjectNotFoundError:
            return None
        return parse(Pointer, data, self._name(POINTER), "choose a version again: lucir rollback VERSION")

    def point_to(self, version: int, reason: str) -> Pointer:
        """Let every server serve ``version``. Pointing there already changes nothing.

        Raises ``VersionNotFoundError``, ``CorruptVersionError``, and ``PreconditionFailedError`` when another writer
        moved the pointer meanwhile.
        """
        self.manifest(version)
        try:
            etag = self._objects.stat(POINTER).etag
        except ObjectNotFoundError:
            pointer = Pointer(version=version, previous=None, reason=reason, changed_at=now())
            self._objects.write(POINTER, encode(pointer), only_if_absent=True)
            return self._pointed(pointer, None)
        try:
            old = self.current()  # read after ``stat``: if it changes between, the conditional write fails
        except CorruptVersionError as error:
            logger.warning("the pointer is damaged and is replaced", extra={"error": str(error)})
            old = None
        if old is not None and old.version == version:
            return old
        previous = old.version if old is not None else None
        pointer = Pointer(version=version, previous=previous, reason=reason, changed_at=now())
        self._objects.replace(POINTER, encode(pointer), expected_etag=etag)
        return self._pointed(pointer, old)

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
                if not self._has_manifest(number):
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

    def _claim(self, manifest: Manifest) -> None:
        """Take the number for this update. A repeated claim of the same update is no conflict."""
        key = file_key(manifest.version, CLAIM)
        try:
            self._objects.write(key, encode(Claim(update_id=manifest.update_id)), only_if_absent=True)
        except PreconditionFailedError:
            data = self._objects.read(key, limit=DOCUMENT_LIMIT)
            claim = parse(Claim, data, self._name(key), "publish under the next number")
            if claim.update_id != manifest.update_id:
                raise PreconditionFailedError(
                    f"number {manifest.version} belongs to update {claim.update_id!r}, not to "
                    f"{manifest.update_id!r}: publish under the next number"
                ) from None

    def _published(self, manifest: Manifest) -> Manifest:
        """What is published under this number, if it is the same; versions are immutable."""
        there = self.manifest(manifest.version)
        if (there.update_id, there.files) != (manifest.update_id, manifest.files):
            raise PreconditionFailedError(
                f"version {manifest.version} is published already with other files: publish under the next number"
            )
        return there

    def _pointed(self, pointer: Pointer, old: Pointer | None) -> Pointer:
        """Make sure that the version was not removed meanwhile (``model_store.removal``): else it points back."""
        if not self._has_manifest(pointer.version):
            if old is not None and self.current() == pointer:
                self._objects.write(POINTER, encode(old))
            raise self._removed(pointer.version)
        logger.info("pointer moved", extra={"version": pointer.version, "previous": pointer.previous})
        return pointer

    def _has_manifest(self, number: int) -> bool:
        try:
            self._objects.stat(file_key(number, MANIFEST))
        except ObjectNotFoundError:
            return False
        return True

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


def file_key(number: int, name: str) -> str:
    """The key of a version's file."""
    return f"{PREFIX}{number}/{name}"
