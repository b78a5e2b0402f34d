"""A verified local copy of a version, for a server to load: it is there whole, or not at all."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from model_store.documents import encode
from model_store.local_files import os_errors, record
from model_store.manifest import Document, FileRecord, Manifest
from model_store.objects import StoreError
from model_store.versions import MANIFEST, VersionStore

logger = logging.getLogger(__name__)

RECORD = "mirror.json"
"""Written last into the copy: what lies in it, so that damage is noticed."""
STALE_SECONDS = 3600.0
_RECORD_LIMIT = 16 * 1024 * 1024


class MirrorRecord(Document):
    """``mirror.json``: every file of the copy by its path in it, what ``prepare`` added too."""

    names: tuple[str, ...]
    files: dict[str, FileRecord]


def mirror(
    versions: VersionStore,
    number: int,
    target: Path,
    names: Iterable[str] = ("model.onnx",),
    prepare: Callable[[Path], None] | None = None,
    here: Mapping[str, Path] = MappingProxyType({}),
) -> Path:
    """Copy the manifest and ``names`` of a version to the folder ``target``, verified; return ``target``.

    ``prepare`` may add files to the new folder before it gets its name. ``here``: files by name that lie on this disk
    already, where the version was made: they are linked instead of downloaded, and verified as all are. Each file is
    read for its hash once. A copy that is intact is kept, without a download; a damaged or foreign one is replaced.
    Raises ``StoreError`` as ``VersionStore.fetch`` does; ``target`` is then what it was.
    """
    manifest = versions.manifest(number)
    wanted = tuple(sorted(names))
    if is_intact(target, manifest, wanted):
        return target
    with os_errors(f"mirror version {number} to {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(target)
        partial = _beside(target, "partial")
        partial.mkdir()
        try:
            for name in sorted(here.keys() & set(wanted)):
                _link(here[name], partial / name, manifest)
            versions.fetch(number, partial, (name for name in wanted if name not in here))
            (partial / MANIFEST).write_bytes(encode(manifest))
            if prepare is not None:
                prepare(partial)
            verified = {name: manifest.files[name] for name in wanted}
            files = {name: verified.get(name) or record(partial / name) for name in _files(partial)}
            (partial / RECORD).write_bytes(encode(MirrorRecord(names=wanted, files=files)))
            _put_in_place(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    logger.info("version mirrored", extra={"version": number, "folder": str(target)})
    return target


def is_intact(target: Path, manifest: Manifest, names: tuple[str, ...] = ("model.onnx",)) -> bool:
    """Whether ``target`` is an undamaged copy, with ``names``, of the version ``manifest`` describes."""
    try:
        if (target / RECORD).stat().st_size > _RECORD_LIMIT:
            return False
        written = MirrorRecord.model_validate_json((target / RECORD).read_bytes())
        if not set(names) <= set(written.names) or (target / MANIFEST).read_bytes() != encode(manifest):
            return False
        if any(written.files.get(name) != manifest.files[name] for name in written.names):
            return False
        return all(_matches(target / name, expected) for name, expected in written.files.items())
    except (OSError, ValidationError, KeyError):  # unreadable, unparsable or foreign: damaged
        return False


def _link(made: Path, target: Path, manifest: Manifest) -> None:
    os.link(made, target)
    if record(target) != manifest.files.get(target.name):
        raise StoreError(f"{made} is not the file of version {manifest.version}: it was changed after it was stored")


def _matches(path: Path, expected: FileRecord) -> bool:
    return path.stat().st_size == expected.size and record(path) == expected


def _put_in_place(partial: Path, target: Path) -> None:
    """Rename; what stood there is set aside first and removed after (a process that has its files open keeps them)."""
    aside = _beside(target, "damaged")
    if os.path.lexists(target):
        target.rename(aside)
        logger.warning("a damaged copy is replaced", extra={"folder": str(target)})
    partial.rename(target)
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside)
    else:
        aside.unlink(missing_ok=True)


def _beside(target: Path, kind: str) -> Path:
    return target.with_name(f".{target.name}.{kind}-{os.urandom(6).hex()}")


def _remove_stale(target: Path) -> None:
    """Remove what crashed mirrors left, of any version; that of a running one is younger."""
    for kind in ("partial", "damaged"):
        for left in target.parent.glob(f".*.{kind}-*"):
            if time.time() - left.lstat().st_mtime > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _files(folder: Path) -> list[str]:
    """Paths in the folder, at every depth."""
    found = [Path(place, name) for place, _, names in os.walk(folder) for name in names]
    return sorted(str(path.relative_to(folder)) for path in found)
