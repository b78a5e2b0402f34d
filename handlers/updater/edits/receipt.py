"""After the version is served: delete what is to be deleted, and tell what is left where."""

import unicodedata
from collections.abc import Iterator

import numpy as np

from handlers.bucket.edit_documents import ANSWER, DeleteImages, EditAnswer, EditPlan, Merge, Remove, Rename
from handlers.bucket.layout import EVALUATION, INCOMING
from handlers.bucket.seen_images import short
from handlers.updater.context.parent import ParentVersion
from handlers.updater.context.update import Update
from handlers.updater.edits.edited_spec import edit_plan
from handlers.updater.edits.find_images import erase, versions_holding
from lucir_core.memory.feature_memory import FeatureMemory
from model_store.layout import FEATURES
from model_store.manifest import Counts
from model_store.objects import ObjectStore

WEIGHTS = (
    "the network was trained with these images and its weights stay as they are: only learning again without them "
    "removes that influence"
)
REFINED = (
    "the head is computed without these images, but the last stages of the network were refined with them, and their "
    "weights stay as they are: lucir relearn --preset NAME learns everything again without them"
)
NOTHING_LEFT = (
    "nothing of these images is left in the version that is served: its backbone never learnt from them, and its head "
    "is computed from the images that stay"
)


def is_accounted(update: Update) -> bool:
    """Whether the answer has been written, or nothing was done that needs one."""
    return update.services.records.read(EditAnswer, update.id, ANSWER) is not None


def account(update: Update) -> None:
    """Write ``answer.json``."""
    services, edit = update.services, edit_plan(update)
    done = edit.refused is None and (not update.makes_version or update.candidate.passed())
    gone, left = erase(services.objects, edit.files, services.tick) if done and edit.erases else ([], [])
    parent = update.parent if done else None
    removed = _removed(update, parent)
    found = tuple(_still_holding(update, edit, parent)) if parent is not None else ()
    unsearched = tuple(f"version {number} cannot be searched for them: {why}" for number, why in found if why)
    answer = EditAnswer(
        request=update.request.id,
        operation=edit.operation,
        version=update.plan.version,
        exemplars_removed=removed[0],
        held_out_removed=removed[1],
        files=() if edit.erases else tuple(file.key for file in edit.files),
        deleted=tuple(gone),
        left=tuple(left),
        versions=tuple(number for number, why in found if not why),
        notes=(*_notes(services.objects, edit, parent), *unsearched) if done else (),
    )
    services.records.write_once(update.id, ANSWER, answer)


def _removed(update: Update, parent: ParentVersion | None) -> tuple[int, int]:
    """How many exemplars and held-out images the new version has less than the one before."""
    if parent is None or not update.makes_version:
        return 0, 0
    stored = update.stored()
    after = stored.counts if stored is not None else Counts(train={}, holdout={}, exemplars={})
    before = parent.manifest.counts
    return (
        max(0, sum(before.exemplars.values()) - sum(after.exemplars.values())),
        max(0, sum(before.holdout.values()) - sum(after.holdout.values())),
    )


def _is_frozen(parent: ParentVersion) -> bool:
    """Whether the version was computed from stored features alone: then the edited one is as well."""
    return parent.manifest.calibration is not None or bool(parent.manifest.config.get("frozen"))


def _left_of_them(parent: ParentVersion, edit: EditPlan) -> str:
    """What a version with a frozen backbone still has of images that were taken out of its head."""
    path = parent.folder / FEATURES
    memory = FeatureMemory.load(path) if path.exists() else None
    if memory is None or memory.seen is None:
        return NOTHING_LEFT
    if isinstance(edit.operation, Remove):
        gone = memory.labels == parent.manifest.classes.index(edit.operation.name)
    else:
        digests = {bytes.fromhex(digest) for digest in edit.digests}
        gone = np.array([row.tobytes() in digests for row in memory.digests], bool)
    return REFINED if (gone & memory.seen).any() else NOTHING_LEFT


def _still_holding(update: Update, edit: EditPlan, parent: ParentVersion) -> Iterator[tuple[int, str]]:
    versions, operation = update.services.versions, edit.operation
    earlier = [number for number in versions.numbers() if not update.makes_version or number != update.version]
    digests = {bytes.fromhex(digest) for digest in edit.digests}
    if isinstance(operation, DeleteImages):
        wanted = {short(sha) for sha in operation.hashes}
        yield from versions_holding(versions, wanted, digests, earlier, update.services.tick)
    elif isinstance(operation, Remove):
        yield from versions_holding(
            versions, parent.learnt.of_class(operation.name), digests, earlier, update.services.tick
        )


def _notes(objects: ObjectStore, edit: EditPlan, parent: ParentVersion | None) -> Iterator[str]:
    operation = edit.operation
    frozen = parent is not None and _is_frozen(parent)
    if isinstance(operation, DeleteImages):
        untraced = parent is not None and bool(edit.learnt) and not edit.digests
        if not (frozen and untraced):
            yield _left_of_them(parent, edit) if frozen and parent is not None else WEIGHTS
        if untraced:
            yield (
                "which exemplars were made of these images is not known (an old version learnt them, and their "
                "originals are gone): to be sure, remove their class and drop its other images again"
            )
    elif isinstance(operation, Remove):
        yield _left_of_them(parent, edit) if frozen and parent is not None else WEIGHTS
    old: tuple[str, ...] = ()
    if isinstance(operation, Rename | Remove):
        old = (operation.name,)
    elif isinstance(operation, Merge):
        old = tuple(name for name in operation.names if name != operation.into)
    for prefix, what in ((EVALUATION, "measures nothing now"), (INCOMING, "will be learnt as a new class")):
        for folder in objects.folders(prefix):
            if (name := unicodedata.normalize("NFC", folder)) in old:
                yield f"{prefix}{name}/ still has the old name and {what}: rename or remove it"
