"""Putting a version into the store so that no other attempt, however late, can change what it is.

Each decision is one conditional write:

- the *claim* (``claim.json``) says which attempt of which update may fill the number;
- the *seal*, a replacement of that claim, says what the version holds: its complete manifest;
- the manifest, equal to the sealed one, gets its name last: it is moved there from the folder of the attempt that
  sealed, so that whoever comes after the version was removed finds nothing that could be moved.

The first attempt creates the files at their final names, each only where nothing is. A later one (after a kill, or by
an updater that took over from a silent one) replaces the claim first, so that the earlier cannot seal any more, uploads
to a folder of its own, seals, and moves what it uploaded to the final names. A process that finds a seal completes what
was sealed. An earlier attempt that wakes up late can do nothing but create a name that is not there yet, which the
moves then replace, or one in its own folder, which it takes back. Where a store does not honour conditions, all this is
a look before each write: one writer only.
"""

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from model_store.documents import Claim, encode, parse
from model_store.layout import ATTEMPT_PREFIX, CLAIM, DOCUMENT_LIMIT, MANIFEST, file_key
from model_store.local_files import os_errors, record
from model_store.manifest import Manifest
from model_store.objects import (
    ObjectInfo,
    ObjectNotFoundError,
    ObjectStore,
    PreconditionFailedError,
    StoreError,
    exists,
)
from model_store.pointer_file import PointerFile

logger = logging.getLogger(__name__)


class Publication:
    """One attempt to publish ``manifest``, complete with the records of ``files``; ``epoch``: of who attempts it."""

    def __init__(
        self, objects: ObjectStore, manifest: Manifest, files: Mapping[str, Path], epoch: int | None = None
    ) -> None:
        self._objects = objects
        self._manifest = manifest
        self._files = dict(sorted(files.items()))
        self._key = file_key(manifest.version, CLAIM)
        self._attempt = f"{ATTEMPT_PREFIX}{epoch or 0}-{os.urandom(6).hex()}"
        self._mine = Claim(update_id=manifest.update_id, epoch=epoch, attempt=self._attempt)
        self._tag = ""
        """Of the claim, as long as it is this attempt's."""

    def run(self) -> Manifest:
        """Publish, or complete what an earlier attempt of the same update sealed; return what is in the store then.

        Raises ``PreconditionFailedError`` when the number is another update's, or a later attempt's.
        """
        claim, first = self._take()
        if first:
            self._check_takeover()
        if claim.manifest is None:
            claim = self._fill(first)
        return self._complete(claim)

    def _fill(self, first: bool) -> Claim:
        """Upload the files and seal; who may not do so any more leaves nothing aside.

        A store that fails otherwise may have sealed all the same: then the next attempt tidies up.
        """
        try:
            in_place = first and self._create_files()
            if not in_place:
                self._upload_aside()
            return self._seal(None if in_place else self._attempt)
        except Exception as error:
            if not isinstance(error, StoreError) or isinstance(error, PreconditionFailedError | ObjectNotFoundError):
                self._withdraw()
            raise

    def _take(self) -> tuple[Claim, bool]:
        """The claim that holds now, and whether this attempt is the first below the number."""
        try:
            self._objects.write(self._key, encode(self._mine), only_if_absent=True)
        except PreconditionFailedError:
            tag, there = self._look()
        else:
            return self._confirmed(), True
        if there.attempt == self._attempt:  # the answer was lost, not the write
            self._tag = tag
            return there, True
        if there.manifest is not None:
            return there, False
        if (there.epoch or 0) > (self._mine.epoch or 0):
            raise PreconditionFailedError(
                f"number {self._manifest.version} was claimed in epoch {there.epoch}, after this updater's "
                f"({self._mine.epoch}): another updater has taken over"
            )
        self._objects.replace(self._key, encode(self._mine), expected_etag=tag)
        return self._confirmed(), False

    def _check_takeover(self) -> None:
        """The number may have been another's, and its version removed with the claim, while this process slept.

        Whoever takes over writes its epoch into the pointer before anything else. Where that has not happened after
        this claim was made, whoever comes later finds the claim.
        """
        pointer = PointerFile(self._objects, lambda: self._mine.epoch).look().pointer
        if pointer is not None and self._mine.epoch is not None and (pointer.epoch or 0) > self._mine.epoch:
            raise PreconditionFailedError(
                f"number {self._manifest.version} was claimed in epoch {self._mine.epoch}, but epoch {pointer.epoch} "
                "has begun: another updater has taken over"
            )

    def _look(self) -> tuple[str, Claim]:
        """Tag and content of the claim, the tag first: a change in between makes a replacement fail."""
        tag = self._objects.stat(self._key).etag
        data = self._objects.read(self._key, limit=DOCUMENT_LIMIT)
        there = parse(Claim, data, f"{self._objects.url}/{self._key}", "publish under the next number")
        if there.update_id != self._manifest.update_id:
            raise PreconditionFailedError(
                f"number {self._manifest.version} belongs to update {there.update_id!r}, not to "
                f"{self._manifest.update_id!r}: publish under the next number"
            )
        return tag, there

    def _confirmed(self) -> Claim:
        """Read back what was written: the tag that is told for it may be that of a later write."""
        self._tag, there = self._look()
        if there.attempt != self._attempt:
            raise PreconditionFailedError(f"another attempt has claimed number {self._manifest.version} meanwhile")
        return there

    def _create_files(self) -> bool:
        """Create the files at their final names; False when one of these names holds something else."""
        for name, path in self._files.items():
            key = file_key(self._manifest.version, name)
            try:
                self._check(path, name, self._objects.upload(key, path, only_if_absent=True))
            except PreconditionFailedError:
                logger.warning("a file of nobody's stands where a version's is to be", extra={"key": key})
                return False
        return True

    def _upload_aside(self) -> None:
        """Upload to the folder of this attempt, which nobody else writes to."""
        for name, path in self._files.items():
            self._check(path, name, self._objects.upload(self._aside(self._attempt, name), path))

    def _check(self, path: Path, name: str, uploaded: ObjectInfo) -> None:
        if uploaded.size != self._manifest.files[name].size:
            raise StoreError(f"{path} changed while it was uploaded: publish version {self._manifest.version} again")

    def _seal(self, folder: str | None) -> Claim:
        self._objects.write(self._aside(self._attempt, MANIFEST), encode(self._manifest))
        sealed = self._mine.model_copy(update={"manifest": self._manifest, "folder": folder, "staged": True})
        try:
            self._objects.replace(self._key, encode(sealed), expected_etag=self._tag)
        except PreconditionFailedError:
            _, there = self._look()
            if there.manifest is None:
                raise
            return there  # the answer to this seal was lost, or a later attempt has sealed
        return sealed

    def _complete(self, claim: Claim) -> Manifest:
        """Put what was sealed in place; the manifest last."""
        manifest = claim.manifest
        if manifest is None:
            raise StoreError(f"number {self._manifest.version} is not sealed: publish it again")
        if claim.folder is not None and not exists(self._objects, file_key(manifest.version, MANIFEST)):
            for name in sorted(manifest.files):
                self._objects.move(self._aside(claim.folder, name), file_key(manifest.version, name))
        self._put_manifest(claim, manifest)
        if claim.attempt != self._attempt or claim.folder is not None:
            self._tidy()
        return manifest

    def _put_manifest(self, claim: Claim, manifest: Manifest) -> None:
        """Unless another attempt has done so. Raises ``PreconditionFailedError`` when the version was removed since."""
        key = file_key(manifest.version, MANIFEST)
        if not claim.staged:
            with suppress(PreconditionFailedError):
                self._objects.write(key, encode(manifest), only_if_absent=True)
            return
        try:
            self._objects.move(self._aside(str(claim.attempt), MANIFEST), key)
        except ObjectNotFoundError as error:
            raise PreconditionFailedError(
                f"version {manifest.version} was completed by another attempt and has been removed since"
            ) from error

    def _withdraw(self) -> None:
        """Remove what this attempt has put aside, unless it has sealed: nobody else needs that."""
        try:
            if self._has_sealed():
                return
            for info in list(self._objects.list(self._aside(self._attempt, ""))):
                self._objects.delete(info.key)
        except StoreError:  # retention removes it
            logger.warning("what an attempt put aside is left", extra={"attempt": self._attempt}, exc_info=True)

    def _has_sealed(self) -> bool:
        try:
            _, there = self._look()
        except (ObjectNotFoundError, PreconditionFailedError):  # removed, or another update's
            return False
        return there.attempt == self._attempt and there.manifest is not None

    def _tidy(self) -> None:
        """Remove what attempts uploaded aside that did not seal."""
        for info in list(self._objects.list(file_key(self._manifest.version, ATTEMPT_PREFIX))):
            self._objects.delete(info.key)

    def _aside(self, folder: str, name: str) -> str:
        return file_key(self._manifest.version, f"{folder}/{name}")


def complete_with_records(manifest: Manifest, files: Mapping[str, Path]) -> Manifest:
    """The manifest with size and hash of each file. Raises ``StoreError``."""
    with os_errors(f"read the files of version {manifest.version}"):
        records = {name: record(path) for name, path in sorted(files.items())}
    return manifest.model_copy(update={"files": records})
