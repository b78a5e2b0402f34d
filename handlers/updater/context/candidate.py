"""A version in the making: its number and kind, the folder it is made in, and how far it is."""

from functools import cached_property
from pathlib import Path
from typing import Literal

from lucir_core.memory.image_blobs import ImageBlobs
from model_store.layout import EVALUATION, HOLDOUT
from model_store.local_files import record
from model_store.manifest import Evaluation, Manifest
from model_store.versions import VersionNotFoundError, VersionStore

Kind = Literal["learnt", "provisional", "edited"]


class Candidate:
    """What an update makes below one number; each answer is read from the store or the folder."""

    def __init__(
        self, versions: VersionStore, update_id: str, number: int, kind: Kind, folder: Path, arrays: Path
    ) -> None:
        self.number = number
        self.kind = kind
        self.folder = folder
        """Holds its task, result, model and evaluation."""
        self.arrays = arrays
        """The update's folder: what all its candidates are made from."""
        self._versions = versions
        self._update_id = update_id
        self._stored: Manifest | None = None

    @cached_property
    def holdout(self) -> ImageBlobs:
        """The images held out so far, those of its own update too; they must have been written."""
        return ImageBlobs.load(self.arrays / HOLDOUT)

    def stored(self) -> Manifest | None:
        """Its manifest; None while it is not in the store, or when another update has taken the number."""
        if self._stored is None:
            try:
                manifest = self._versions.manifest(self.number)
            except VersionNotFoundError:
                return None
            self._stored = manifest if manifest.update_id == self._update_id else None
        return self._stored

    def evaluation(self) -> Evaluation | None:
        """What was measured on it; None before it was."""
        stored, path = self.stored(), self.folder / EVALUATION
        if stored is not None and (not path.exists() or record(path) != stored.files.get(EVALUATION)):
            # Another process stored it: what that one measured counts, for its model is the one that will be served.
            return self._versions.evaluation(self.number)
        try:
            return Evaluation.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None

    def passed(self) -> bool:
        """Whether the gate lets it be served."""
        evaluation = self.evaluation()
        return evaluation is not None and evaluation.gate.passed

    def is_served(self) -> bool:
        """Whether the pointer names it."""
        pointer = self._versions.current()
        return pointer is not None and pointer.version == self.number and self.stored() is not None

    def was_pointed(self) -> bool:
        """Whether the pointer has named it: it may have been moved on since, which is not to be undone."""
        pointer = self._versions.current()
        return pointer is not None and self.number in {pointer.version, pointer.previous}
