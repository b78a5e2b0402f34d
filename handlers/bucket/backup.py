"""A copy of a whole store in another one, and the way back.

The service may go on meanwhile. Originals that wait are copied first and the pointer last: an image that moves from
``incoming/`` to ``archive/`` in between is in the copy twice rather than not at all (the second is then recognised as
learnt), and what the pointer names is complete. An update that was under way is taken up again from the copy.
"""

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from handlers.bucket.layout import ARCHIVE, EVALUATION, INCOMING, REJECTED
from handlers.parallel import ordered_map
from model_store.connect import check_apart
from model_store.documents import CorruptVersionError, VersionNotFoundError, encode, parse
from model_store.layout import MANIFEST, file_key
from model_store.local_files import record as describe
from model_store.manifest import Manifest, Pointer, StoredDocument, now
from model_store.objects import (
    ObjectInfo,
    ObjectNotFoundError,
    ObjectStore,
    ObjectTooLargeError,
    StoreError,
    exists,
)
from model_store.versions import POINTER, PREFIX, VersionStore

RECORD: Final = "backup.json"
LEASE: Final = "updates/lease.json"
"""The lease is not backed up: it says who is active now."""
LARGEST: Final = 1 << 40
SMALL: Final = 1 << 20
"""Bytes up to which an object passes through memory."""
MOST_ROUNDS: Final = 10
"""Looks for what came or moved meanwhile: people may drop images faster than they are copied."""
_LAST: Final = frozenset({POINTER, LEASE, RECORD})
"""Not copied as they are."""
_ORIGINALS: Final = (INCOMING, EVALUATION, ARCHIVE, REJECTED)

Report = Callable[[str, int], None]
"""(key, size) of an object that has been copied."""


class BackupRecord(StoredDocument):
    """``backup.json`` of a copy: what it is a copy of. Written first without an end, and last with it."""

    source: str
    begun_at: datetime
    finished_at: datetime | None = None
    version: int | None = None
    """The version that the pointer names."""
    objects: int = 0
    size: int = 0


@dataclass
class Copied:
    """What a run did: objects and bytes copied, objects that were there already, objects removed from the copy."""

    version: int | None = None
    objects: int = 0
    size: int = 0
    unchanged: int = 0
    removed: int = 0
    lost: list[str] = field(default_factory=list)
    """Files of versions that the store has lost or damaged, and that stay in the copy as an earlier run found them."""
    absent: list[str] = field(default_factory=list)
    """Files of versions that the copy has not got as their manifests tell, since the source has not either."""
    keys: set[str] = field(default_factory=set)
    total_size: int = 0

    def count(self, info: ObjectInfo) -> None:
        """An object was copied."""
        self.keys.add(info.key)
        self.total_size += info.size
        self.objects += 1
        self.size += info.size

    def has(self, info: ObjectInfo, there: ObjectInfo | None) -> bool:
        """Whether an earlier run copied the object: what was archived and files of versions are replaced by nobody.

        Elsewhere people replace images, perhaps by others of the same size, and the clocks of two stores differ.
        """
        in_version = info.key.startswith(PREFIX) and "/" in info.key.removeprefix(PREFIX)
        lasting = info.key.startswith(ARCHIVE) or in_version
        if not lasting or there is None or there.size != info.size or there.modified < info.modified:
            return False
        self.keys.add(info.key)
        self.total_size += info.size
        self.unchanged += 1
        return True

    def keeps(self, there: ObjectInfo, lost: bool) -> bool:
        """Whether an object of the copy is ``lost`` in the store, and so stays as it is."""
        if lost:
            self.keys.add(there.key)
            self.total_size += there.size
            self.lost.append(there.key)
        return lost


class _EarlierCopy:
    """What an earlier run copied of versions, against what the store has of them now.

    Nobody replaces a file of a version, and nobody deletes one alone: a version is removed as a whole, its manifest
    first. What differs was lost or damaged in the store, and the copy may be the last place where it is whole. Both
    stores are asked only about files that differ. Methods raise ``StoreError``.
    """

    def __init__(self, store: ObjectStore, copy: ObjectStore) -> None:
        self._store = store
        self._copy = copy

    def has_lost(self, key: str, current: int | None) -> bool:
        """Whether the store lacks a file of a version that it has all the same, or points to (``current``)."""
        number, name = _place(key)
        manifest = self._manifest(number)
        if manifest is None or name not in {MANIFEST, *manifest.files}:
            return False
        return number == current or exists(self._store, file_key(number, MANIFEST))

    def has_damaged(self, key: str, scratch: Path) -> bool:
        """Whether what the store has in place of a file of a version is not what its manifest tells."""
        number, name = _place(key)
        manifest = self._manifest(number)
        if manifest is None:
            return False
        if name == MANIFEST:
            return not self._is_readable(number)
        if name not in manifest.files:
            return False
        expected, path = manifest.files[name], scratch / "compared"
        try:
            self._store.download(key, path, limit=expected.size)
        except ObjectNotFoundError:
            return False  # ``has_lost`` decides, when everything else has been copied
        except ObjectTooLargeError:
            return True
        return describe(path) != expected

    def _manifest(self, number: int) -> Manifest | None:
        """As the copy has it; None where it has none of a version (0: no version at all) or a damaged one."""
        try:
            return VersionStore(self._copy).manifest(number) if number else None
        except (VersionNotFoundError, CorruptVersionError):
            return None

    def _is_readable(self, number: int) -> bool:
        """Whether the store's manifest is not damaged."""
        try:
            VersionStore(self._store).manifest(number)
        except CorruptVersionError:
            return False
        except VersionNotFoundError:
            pass
        return True


def make_backup(store: ObjectStore, target: ObjectStore, report: Report = lambda *_: None) -> Copied:
    """Make ``target`` a copy of ``store``; what an earlier run copied and is still the same stays.

    Objects of the copy that are no longer in the store are removed: a restore must not bring back what was deleted. A
    file of a version that the store still has was not deleted but lost: it stays in the copy, perhaps the last one.
    What the copy has not got either is told too.
    Raises ``StoreError``, also for a target that holds anything but a copy, is the store, lies in it or holds it.
    """
    check_apart(store.url, target.url)
    record = read_record(target)
    if record is None and next(target.list(""), None) is not None:
        raise StoreError(f"{target.url} is not empty and not a backup: name an empty folder or bucket")
    if record is not None and record.source != store.url:
        raise StoreError(f"{target.url} is the backup of {record.source}, not of {store.url}: name another target")
    begun = now()
    target.write(RECORD, encode(BackupRecord(source=store.url, begun_at=begun)))
    done = Copied()
    _copy_all(store, target, done, report)
    earlier = _EarlierCopy(store, target)
    missing = [info for info in target.list("") if info.key not in done.keys and info.key != RECORD]
    gone = [info.key for info in missing if not done.keeps(info, earlier.has_lost(info.key, done.version))]
    for key in gone:
        target.delete(key)
    done.removed = len(gone)
    done.lost = [key for key in done.lost if key not in done.absent]  # damaged first and lost afterwards
    record = BackupRecord(
        source=store.url,
        begun_at=begun,
        finished_at=now(),
        version=done.version,
        objects=len(done.keys),
        size=done.total_size,
    )
    target.write(RECORD, encode(record))
    return done


def restore_backup(backup: ObjectStore, store: ObjectStore, report: Report = lambda *_: None) -> Copied:
    """Copy a backup into an empty store, and verify the version that its pointer names.

    Raises ``StoreError`` if the backup is incomplete, the store is not empty, or one of them lies in the other.
    """
    check_apart(backup.url, store.url)
    record = read_record(backup)
    if record is None:
        raise StoreError(f"{backup.url} is not a backup: there is no {RECORD} in it")
    if record.finished_at is None:
        raise StoreError(f"the backup in {backup.url} was cut short: run `lucir backup` once more, or use another one")
    there = next(store.list(""), None)
    if there is not None:
        raise StoreError(
            f"{store.url} holds {there.key}: a backup is restored into an empty store only; stop the service and name "
            "another --data or --store"
        )
    done = Copied()
    _copy_all(backup, store, done, report)
    if done.version is not None:
        VersionStore(store).verify(done.version)
    return done


def read_record(target: ObjectStore) -> BackupRecord | None:
    """What a copy says of itself; None where it says nothing. Raises ``StoreError``."""
    try:
        data = target.read(RECORD)
    except ObjectNotFoundError:
        return None
    return parse(BackupRecord, data, f"{target.url}/{RECORD}", "remove the copy and make another one")


def _copy_all(source: ObjectStore, target: ObjectStore, done: Copied, report: Report) -> None:
    """Everything, the pointer and what it names last."""
    with tempfile.TemporaryDirectory(prefix="lucir-copy-") as scratch:

        def copy(info: ObjectInfo) -> ObjectInfo | None:
            return info if _copy(source, target, info, Path(scratch)) else None

        def keeps(kept: ObjectInfo) -> bool:
            return done.keeps(kept, earlier.has_damaged(kept.key, Path(scratch)))

        there = {info.key: info for info in target.list("")}
        earlier = _EarlierCopy(source, target)
        for infos in _passes(source, done.keys):
            new = [info for info in infos if not done.has(info, there.get(info.key))]
            wanted = [info for info in new if not (kept := there.get(info.key)) or not keeps(kept)]
            for info in ordered_map(copy, wanted):
                if info is not None:
                    done.count(info)
                    report(info.key, info.size)
        with suppress(ObjectNotFoundError):  # nothing has been learnt, or the gate refused it
            data = source.read(POINTER)
            pointer = parse(Pointer, data, f"{source.url}/{POINTER}", "choose a version: lucir rollback VERSION")
            done.version = pointer.version
        _complete_versions(source, target, done, copy)
        if done.version is not None:
            target.write(POINTER, data)
            done.keys.add(POINTER)


def _complete_versions(
    source: ObjectStore, target: ObjectStore, done: Copied, copy: Callable[[ObjectInfo], ObjectInfo | None]
) -> None:
    """Copy what came of versions after their folders were listed; ``done`` is told what is absent all the same."""
    for number in _incomplete(target, done.version):
        for info in source.list(file_key(number, "")):
            if info.key not in done.keys and copy(info) is not None:
                done.count(info)
    for number, lacking in _incomplete(target, done.version).items():
        if number == done.version or exists(source, file_key(number, MANIFEST)):  # else it was removed meanwhile
            done.absent += lacking


def _incomplete(copy: ObjectStore, current: int | None) -> dict[int, list[str]]:
    """What a copy lacks of versions, or has in another size, by number: of those with a manifest, and of ``current``.

    One listing, and the manifests. Raises ``StoreError``.
    """
    sizes = {info.key: info.size for info in copy.list(PREFIX)}
    numbers = {number for number, name in map(_place, sizes) if name == MANIFEST}
    if current is not None:
        numbers.add(current)
    found = dict[int, list[str]]()
    for number in sorted(numbers):
        try:
            files = VersionStore(copy).manifest(number).files
        except (VersionNotFoundError, CorruptVersionError):
            found[number] = [file_key(number, MANIFEST)]
            continue
        keys = {file_key(number, name): file.size for name, file in files.items()}
        if lacking := [key for key, size in keys.items() if sizes.get(key) != size]:
            found[number] = lacking
    return found


def _passes(source: ObjectStore, copied: Collection[str]) -> Iterator[Iterable[ObjectInfo]]:
    """The objects in the order in which they are copied, each part listed when its turn has come.

    An image may go the other way meanwhile, from ``rejected/`` back to ``incoming/`` and on to where was looked before:
    originals are listed again until nothing else is found.
    """
    for prefix in _ORIGINALS:
        yield source.list(prefix)
    for _ in range(MOST_ROUNDS):
        found = [info for prefix in _ORIGINALS for info in source.list(prefix) if info.key not in copied]
        if not found:
            break
        yield found
    yield (info for info in source.list("") if not info.key.startswith(_ORIGINALS) and info.key not in _LAST)


def _copy(source: ObjectStore, target: ObjectStore, info: ObjectInfo, scratch: Path) -> bool:
    """Whether the object was still there."""
    try:
        if info.size <= SMALL:
            target.write(info.key, source.read(info.key))
            return True
        with tempfile.NamedTemporaryFile(dir=scratch) as file:
            source.download(info.key, Path(file.name), limit=LARGEST)
            target.upload(info.key, Path(file.name))
    except ObjectNotFoundError:
        return False  # it moved on, and is copied where it went
    return True


def _place(key: str) -> tuple[int, str]:
    """(number of the version, name of the file); (0, "") for a key of something else."""
    number, _, name = key.removeprefix(PREFIX).partition("/")
    return (int(number), name) if key.startswith(PREFIX) and number.isdecimal() and name else (0, "")
