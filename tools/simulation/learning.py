"""Steps of an update whose learning is a pure function of what it learns from; everything else is the product's."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

from handlers.bucket.edit_documents import DeleteImages
from handlers.bucket.edit_rules import regrouping
from handlers.bucket.seen_images import Learnt
from handlers.updater.context.candidate import Candidate
from handlers.updater.context.update import Update
from handlers.updater.edits.edited_spec import edit_plan
from handlers.updater.errors import SupersededError
from handlers.updater.release.publish import check_parent
from handlers.updater.workflow.edit_steps import EDIT_STEPS
from handlers.updater.workflow.learn_steps import STEPS
from handlers.updater.workflow.provisional_steps import attempted, is_measured, is_stored, unless_left_out
from handlers.updater.workflow.relearn_steps import RELEARN_STEPS
from handlers.updater.workflow.runner import Step
from model_store.layout import EVALUATION, MODEL, SEEN_IMAGES
from model_store.manifest import Accuracy, Counts, Evaluation, Gate, Manifest, Preprocessing, Refinement
from model_store.objects import PreconditionFailedError

REFUSED = 0.1
"""Share of versions that the gate refuses."""
NO_BETTER = 0.5
"""Share of refined versions that are kept and not served."""
REFINED = Refinement(images=1, before=0.5, after=1.0, low=0.1, high=0.9, learnt_from=1)
WORSE = 0.5
"""Share of versions that answer their only evaluation image wrong, which their parents answer right."""


def make(update: Update, candidate: Candidate, learnt: Learnt) -> None:
    """Write the files of a version. Those of two processes differ, as weights do that were trained twice."""
    folder = candidate.folder
    folder.mkdir(parents=True, exist_ok=True)
    learnt.save(folder / SEEN_IMAGES)
    content = [update.services.settings.data.name, list(update.plan.classes), learnt.hashes.tobytes().hex()]
    (folder / MODEL).write_text(json.dumps(content), encoding="utf-8")
    digest = hashlib.sha256(json.dumps([candidate.kind, update.refines, *content[1:]]).encode()).hexdigest()
    passed = int(digest[:8], 16) / 2**32 >= (NO_BETTER if update.refines else REFUSED)
    worse = int(digest[8:16], 16) / 2**32 < WORSE
    text = _evaluation(candidate.number, update.plan.parent, passed, worse)
    (folder / EVALUATION).write_text(text, encoding="utf-8")


@lru_cache(maxsize=1024)
def _evaluation(number: int, parent: int | None, passed: bool, worse: bool) -> str:
    nothing = Accuracy(all=1.0, old=None, new=None)
    evaluation = Evaluation(
        version=number,
        parent=parent,
        images=1,
        cnn=nothing,
        nme=nothing,
        class_accuracy={},
        class_best={},
        old_as_new=None,
        forgetting=0.0,
        history=(1.0,),
        parent_old=1.0,
        confusion=((0, 1), (0, 0)) if worse else ((1, 0), (0, 0)),
        gate=Gate(passed=passed, reasons=() if passed else ("drawn",)),
    )
    return evaluation.model_dump_json()


def learnt_by(update: Update) -> Learnt:
    """What the plan takes up joins what the parent has learnt."""
    plan, parent = update.plan, update.learning_parent
    before = parent.learnt if parent is not None else Learnt.empty()
    entries = plan.of_role("train", "holdout")
    names = [entry.class_name or "" for entry in entries]
    hashes = [entry.sha256 for entry in entries]
    return before.without(hashes).extended(hashes, names, plan.classes)  # a corrected image leaves its earlier class


def learn(update: Update) -> None:
    """As the child does."""
    make(update, update.candidate, learnt_by(update))


def imprint(update: Update, candidate: Candidate) -> None:
    """As the child does."""
    make(update, candidate, learnt_by(update))


def edit(update: Update) -> None:
    """What the parent has learnt, without what is to be forgotten."""
    wanted, parent = edit_plan(update), update.known_parent
    change = regrouping(wanted.operation, parent.manifest.classes)
    learnt = parent.learnt.regrouped(change)
    if isinstance(wanted.operation, DeleteImages):
        learnt = learnt.without(wanted.learnt)
    make(update, update.candidate, learnt)


def store(update: Update) -> None:
    """Publish what was made."""
    store_candidate(update, update.candidate)


def store_candidate(update: Update, candidate: Candidate) -> None:
    """Publish it, as ``release.publish`` does."""
    plan = update.plan
    learnt = Learnt.load(candidate.folder / SEEN_IMAGES)
    manifest = Manifest(
        version=candidate.number,
        kind=candidate.kind,
        parent=plan.parent,
        update_id=plan.id,
        created_at=plan.created_at,
        classes=plan.classes,
        new_classes=plan.new_classes,
        updated_classes=plan.updated_classes,
        preprocessing=Preprocessing(size=8, resize=8),
        readout="cnn",
        method="none",
        config={"frozen": True} if update.way.config.frozen else {},
        counts=Counts(train=learnt.counts(), holdout={}, exemplars={}),
        refinement=REFINED if update.refines else None,
        files={},
        software={},
        timings={},
    )
    files = {name: candidate.folder / name for name in (MODEL, SEEN_IMAGES, EVALUATION)}
    check_parent(update)
    try:
        update.services.versions.publish(manifest, files)
    except PreconditionFailedError as error:
        raise SupersededError(str(error)) from error


def _is_made(update: Update) -> bool:
    return not update.makes_version or update.stored() is not None or (update.folder / EVALUATION).exists()


def _is_stored(update: Update) -> bool:
    return not update.makes_version or update.stored() is not None


LEFT_OUT = {"prepare", "evaluate", "evaluate-provisional"}


def _pure(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    changed = {
        "learn": (learn, _is_made),
        "apply": (edit, _is_made),
        "store": (store, _is_stored),
        "imprint": (attempted("imprint", imprint), unless_left_out(is_measured)),
        "store-provisional": (attempted("store-provisional", store_candidate), unless_left_out(is_stored)),
    }
    return tuple(
        replace(step, run=changed[step.name][0], done=changed[step.name][1]) if step.name in changed else step
        for step in steps
        if step.name not in LEFT_OUT
    )


PURE_STEPS, PURE_EDIT_STEPS, PURE_RELEARN_STEPS = _pure(STEPS), _pure(EDIT_STEPS), _pure(RELEARN_STEPS)


def unsteady(steps: tuple[Step, ...], trial: Callable[[Update], None]) -> tuple[Step, ...]:
    """The same, where ``trial`` may raise before anything is learnt."""

    def tried(run: Callable[[Update], None], update: Update) -> None:
        trial(update)
        run(update)

    return tuple(replace(step, run=partial(tried, step.run)) if step.name == "learn" else step for step in steps)


class NoChild:
    """Where an updater has its learning child."""

    def warm(self) -> None:
        """Nothing to start."""

    def end(self) -> None:
        """Nothing to end."""
