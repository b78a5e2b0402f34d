"""What a version will be, whatever it comes from: a drop, a provisional version and an edit each fill in one of these.

What follows (evaluation, gate, canary, report, publication) knows nothing else of where a version comes from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from handlers.updater.context.candidate import Candidate
from handlers.updater.context.parent import ParentVersion
from lucir_core.edit.regroup import Regrouping
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.manifest import Counts, Preprocessing


@dataclass(frozen=True)
class VersionSpec:
    """A version beside the files that its candidate's folder holds."""

    candidate: Candidate
    created_at: datetime
    parent: ParentVersion | None
    change: Regrouping | None
    """What becomes of the parent's classes, which are the first ones here; None without a parent."""
    classes: tuple[str, ...]
    new_classes: tuple[str, ...]
    updated_classes: tuple[str, ...]
    preprocessing: Preprocessing
    trained: Mapping[str, int]
    """Images of each class that it was trained on."""
    own_evaluation: frozenset[str]
    """Classes that the user's own images measure, where there are any."""
    learnt: Path
    """File of the hashes of all that it has learnt."""
    relearnt: bool = False
    """Whether all classes were learnt again from nothing: the parent, which may want images of another size, is
    compared by what was measured when it was made."""
    is_judged: bool = True
    """Whether the gate may refuse it."""
    asked: str | None = None
    """What a person asked for, where that is what it was made for."""

    @property
    def number(self) -> int:
        """Of the version."""
        return self.candidate.number

    @property
    def folder(self) -> Path:
        """Where it is made."""
        return self.candidate.folder

    @property
    def is_phase(self) -> bool:
        """Whether something was learnt with it: averages and forgetting count phases only."""
        return self.candidate.kind == "learnt"

    @property
    def holdout(self) -> ImageBlobs:
        """The images held out."""
        return self.candidate.holdout

    @property
    def old_count(self) -> int:
        """How many of the classes, the first ones, the parent knows as well."""
        return 0 if self.change is None else len(self.change.classes)

    def of_parent(self, known: Mapping[str, float]) -> dict[str, float]:
        """What is known of the parent's classes, under the names that they have here; of merged classes nothing is."""
        if self.change is None:
            return {}
        olds = {
            name: self.change.before[group[0]]
            for name, group in zip(self.change.classes, self.change.groups, strict=True)
            if len(group) == 1
        }
        return {name: known[old] for name, old in olds.items() if old in known}

    def counts(self, exemplars: Mapping[str, int]) -> Counts:
        """Images of each class: trained on, held out, kept as exemplars."""
        held = dict.fromkeys(self.classes, 0)
        held |= dict(zip(self.holdout.classes, self.holdout.counts().tolist(), strict=True))
        return Counts(train=dict(self.trained), holdout=held, exemplars=dict(exemplars))
