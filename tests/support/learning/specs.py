"""The specification of a version for tests that make none."""

from pathlib import Path

from handlers.updater.context.candidate import Candidate, Kind
from handlers.updater.context.parent import ParentVersion
from handlers.updater.context.version_spec import VersionSpec
from handlers.updater.release.evaluate import FIRST, summarise
from lucir_core.edit.regroup import unchanged
from model_store.directory.directory_store import DirectoryStore
from model_store.layout import EVALUATION
from model_store.manifest import Gate, Preprocessing, now
from model_store.versions import VersionStore
from tests.support.learning.predictions import predictions
from tools.manifests import make_manifest


def make_spec(
    folder: Path,
    classes: tuple[str, ...],
    before: dict[str, float] | None = None,
    *,
    kind: Kind = "learnt",
) -> VersionSpec:
    """Version 2 of update 000002; ``before``: the accuracies that its parent had, whose classes are the first ones."""
    known = classes[: len(before or {})] if kind != "edited" else classes
    parent = None
    if known:
        (folder / "parent").mkdir(exist_ok=True)
        evaluation = summarise(1, known, predictions([(0, 0)]), FIRST, Gate(passed=True))
        evaluation = evaluation.model_copy(update={"class_accuracy": before or {}, "class_best": before or {}})
        (folder / "parent" / EVALUATION).write_text(evaluation.model_dump_json(), encoding="utf-8")
        parent = ParentVersion(make_manifest(1, classes=known), folder / "parent")
    return VersionSpec(
        candidate=Candidate(VersionStore(DirectoryStore(folder / "store")), "000002", 2, kind, folder, folder),
        created_at=now(),
        parent=parent,
        change=unchanged(known) if known else None,
        classes=classes,
        new_classes=classes[len(known) :],
        updated_classes=(),
        preprocessing=Preprocessing(size=8, resize=8),
        trained={},
        own_evaluation=frozenset(),
        learnt=folder / "learnt",
    )
