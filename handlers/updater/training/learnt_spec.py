"""The version that a drop makes: learnt, or provisional until it is."""

from collections import Counter
from pathlib import Path

from handlers.bucket.seen_images import Learnt
from handlers.bucket.update_documents import Plan
from handlers.updater.context.candidate import Candidate
from handlers.updater.context.parent import ParentVersion
from handlers.updater.context.update import Update
from handlers.updater.context.version_spec import VersionSpec
from lucir_core.edit.regroup import unchanged
from model_store.layout import SEEN_IMAGES
from model_store.manifest import Preprocessing


def learnt_spec(update: Update, candidate: Candidate) -> VersionSpec:
    """A provisional version has learnt only the new classes: images of known ones wait for the learnt version."""
    plan, parent, config = update.plan, update.parent, update.way.config
    classes_added_to = plan.updated_classes if candidate.kind == "learnt" else ()
    trained = dict.fromkeys(plan.classes, 0)
    if update.refines:
        trained |= update.known_parent.manifest.counts.train
    elif update.learning_parent is not None:
        trained |= _kept(update.learning_parent, plan, candidate)
    for entry in plan.of_role("train"):
        if entry.class_name in {*plan.new_classes, *classes_added_to}:
            trained[entry.class_name] += 1
    everything = update.folder / SEEN_IMAGES
    return VersionSpec(
        candidate=candidate,
        created_at=plan.created_at,
        parent=parent,
        change=unchanged(parent.manifest.classes) if parent is not None else None,
        classes=plan.classes,
        new_classes=plan.new_classes,
        updated_classes=classes_added_to,
        preprocessing=Preprocessing(size=config.size, resize=config.resize),
        trained=trained,
        own_evaluation=_own_evaluation(plan),
        relearnt=update.learns_all,
        asked=str(update.relearn) if update.relearn is not None and not update.refines else None,
        learnt=everything if candidate.kind == "learnt" else _only_new(everything, candidate, plan),
    )


def _kept(parent: ParentVersion, plan: Plan, candidate: Candidate) -> dict[str, int]:
    """How many images of each class were trained on before, without those that a correction moves to another class."""
    counts = dict(parent.manifest.counts.train)
    moved = parent.learnt.find(entry.sha256 for entry in plan.of_role("train", "holdout"))
    if not moved:
        return counts
    held = dict(zip(candidate.holdout.classes, candidate.holdout.counts().tolist(), strict=True))
    for entry in plan.of_role("holdout"):
        held[entry.class_name or ""] -= 1
    for name, count in Counter(moved.values()).items():
        counts[name] = max(0, counts[name] - (count - (parent.manifest.counts.holdout.get(name, 0) - held[name])))
    return counts


def _own_evaluation(plan: Plan) -> frozenset[str]:
    """Classes that an evaluation measures with the user's own images, where there are any.

    The plan decides for the classes that it adds images to: it held images out where there were no own ones, so images
    that came to ``evaluation/`` since then do not count. It says nothing about other classes: for them the store is
    asked. Where a class's own images are gone, the images that earlier drops held out measure the class again.
    """
    touched = {*plan.new_classes, *plan.updated_classes}
    return frozenset((set(plan.classes) - touched) | (touched & set(plan.own_evaluation)))


def _only_new(everything: Path, candidate: Candidate, plan: Plan) -> Path:
    """The file of the hashes without those of images that joined known classes."""
    left_out = [entry.sha256 for entry in plan.of_role("train") if entry.class_name in plan.updated_classes]
    if not left_out:
        return everything
    path = candidate.folder / SEEN_IMAGES
    Learnt.load(everything).without(left_out).save(path)
    return path
