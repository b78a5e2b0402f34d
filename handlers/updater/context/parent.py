"""The version that an update starts from, as a verified local copy."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from handlers.bucket.seen_images import Learnt
from model_store.layout import EVALUATION, SEEN_IMAGES, STATE_FILES
from model_store.manifest import Evaluation, Manifest
from model_store.mirror import mirror
from model_store.versions import VersionStore

PARENTS = "base"
"""Folder, in the work folder, of the copies; an update that another release began finds them there."""


@dataclass(frozen=True)
class ParentVersion:
    """A version and the folder that holds its ``STATE_FILES``; what is read from them is read once."""

    manifest: Manifest
    folder: Path

    @cached_property
    def evaluation(self) -> Evaluation:
        """What was measured on it."""
        return Evaluation.model_validate_json((self.folder / EVALUATION).read_bytes())

    @cached_property
    def learnt(self) -> Learnt:
        """What it has learnt."""
        return Learnt.load(self.folder / SEEN_IMAGES)


def fetch_parent(versions: VersionStore, manifest: Manifest, work: Path) -> ParentVersion:
    """Mirror a version below ``work`` and verify it; copies of other versions are removed. Raises ``StoreError``."""
    return ParentVersion(manifest, _mirrored(versions, manifest, work, {}))


def keep_as_parent(versions: VersionStore, manifest: Manifest, work: Path, made_in: Iterable[Path]) -> None:
    """Keep the files of a version that was made here, for the update that will start from it: 500 MB at 1,000 classes.

    made_in: folders that they lie in. Raises ``StoreError``.
    """
    names = [name for name in STATE_FILES if name in manifest.files]
    places = [(name, folder / name) for folder in made_in for name in names]
    _mirrored(versions, manifest, work, {name: path for name, path in places if path.exists()})


def _mirrored(versions: VersionStore, manifest: Manifest, work: Path, here: Mapping[str, Path]) -> Path:
    names = tuple(name for name in STATE_FILES if name in manifest.files)
    folder = mirror(versions, manifest.version, copy_folder(work, manifest.version), names, here=here)
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def copy_folder(work: Path, number: int) -> Path:
    """Where the copy of a version is, if there is one: whole and verified when it got its name."""
    return work / PARENTS / str(number)


def remove_parents(work: Path) -> None:
    """Remove the copies."""
    shutil.rmtree(work / PARENTS, ignore_errors=True)
