"""The version that an edit makes: its classes come from the request, all else from the version before."""

from collections import Counter

from handlers.bucket.edit_documents import EDIT, EditPlan, Merge
from handlers.bucket.edit_rules import regrouping
from handlers.updater.context.parent import ParentVersion
from handlers.updater.context.update import Update
from handlers.updater.context.version_spec import VersionSpec
from lucir_core.edit.regroup import Regrouping
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.layout import SEEN_IMAGES
from model_store.objects import StoreError


def edit_plan(update: Update) -> EditPlan:
    """What the request means, which has been found out. Raises ``StoreError``."""
    edit = update.services.records.read(EditPlan, update.id, EDIT)
    if edit is None:
        raise StoreError(f"update {update.id} has no {EDIT}")
    return edit


def edited_spec(update: Update) -> VersionSpec:
    """To be asked once the child has made the version. Only a merge can make it worse, so only that one is judged."""
    edit, plan, parent = edit_plan(update), update.plan, update.known_parent
    change = regrouping(edit.operation, parent.manifest.classes)
    return VersionSpec(
        candidate=update.candidate,
        created_at=plan.created_at,
        parent=parent,
        change=change,
        classes=change.classes,
        new_classes=(),
        updated_classes=plan.updated_classes,
        preprocessing=parent.manifest.preprocessing,
        trained=_trained(parent, change, edit, update.candidate.holdout),
        own_evaluation=frozenset(change.classes),
        learnt=update.folder / SEEN_IMAGES,
        is_judged=isinstance(edit.operation, Merge),
        asked=str(edit.operation),
    )


def _trained(parent: ParentVersion, change: Regrouping, edit: EditPlan, holdout: ImageBlobs) -> dict[str, int]:
    """How many images each class was trained on, without deleted ones: of these some were held out."""
    before = parent.manifest.counts
    counts = {
        name: sum(before.train.get(change.before[old], 0) for old in group)
        for name, group in zip(change.classes, change.groups, strict=True)
    }
    held = dict(zip(holdout.classes, holdout.counts().tolist(), strict=True))
    for name, deleted in Counter(parent.learnt.find(edit.learnt).values()).items():
        not_held = deleted - (before.holdout.get(name, 0) - held.get(name, 0))
        counts[name] = max(0, counts[name] - not_held)
    return counts
