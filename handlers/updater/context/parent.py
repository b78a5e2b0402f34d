"""The version that learning starts from, as a verified local copy."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from handlers.bucket.seen_images import Learnt
from model_store.layout import EVALUATION, SEEN_IMAGES, STATE_FILES
from model_store.manifest import Evaluation, Manifest
from model_store.mirror import mirror
from model_store.versions import VersionStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Base:
    """A version and the folder that holds its ``STATE_FILES``."""

    manifest: Manifest
    folder: Path

    @property
    def evaluation(self) -> Evaluation:
        """What was measured on it."""
        return Evaluation.model_validate_json((self.folder / EVALUATION).read_bytes())

    @property
    def learnt(self) -> Learnt:
        """What it has learnt."""
        return Learnt.load(self.folder / SEEN_IMAGES)


def fetch_base(versions: VersionStore, number: int, work: Path) -> Base:
    """Mirror a version below ``work``; copies of other versions are removed. Raises ``StoreError``."""
    manifest = versions.manifest(number)
    names = tuple(name for name in STATE_FILES if name in manifest.files)
    folder = mirror(versions, number, work / "base" / str(number), names)
    for other in (work / "base").iterdir():
        if other.name != str(number):
            shutil.rmtree(other, ignore_errors=True)
    return Base(manifest, folder)
