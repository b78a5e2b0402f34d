"""Imprint first: a version that knows the new classes by their mean features, served until they are learnt.

It is an offer on top: whatever goes wrong with it is told and gone past, and the drop is learnt all the same, from the
version that was served before. The gate judges it as any other. What becomes of it in the end:

- the learnt version passes: that one takes over;
- the learnt version is refused: ``fall_back`` keeps the provisional one if it is no worse than its parent;
- nothing is learnt (failed, superseded): ``withdraw`` goes back to the parent, for the images are still to be learnt.
"""

import logging
from collections.abc import Callable

from handlers.updater.context.candidate import Draft
from handlers.updater.context.update import Update
from handlers.updater.errors import NOT_THE_DROP, SupersededError
from handlers.updater.release.publish import point, publish, write_evaluation
from handlers.updater.training.launch import is_made, run_child
from model_store.layout import EVALUATION
from model_store.manifest import Evaluation
from model_store.objects import PreconditionFailedError

logger = logging.getLogger(__name__)

GIVEN_UP = "given_up"
MOST_DEATHS = 10
"""The process may be killed so often within one of these steps before the step is suspected."""


def imprint(update: Update, draft: Draft) -> None:
    """Run the child: the state, its export, the comparison of the two."""
    run_child(update, draft)


def offer(update: Update, draft: Draft) -> None:
    """Let every server serve it, and go on without waiting for that."""
    services = update.services
    services.expect_provisional(draft.number, update.plan.dropped_at)
    point(update, draft, f"imprinted by update {update.id}, until it is learnt")
    logger.info("version %d answers until update %s is learnt", draft.number, update.id)


def attempted(name: str, run: Callable[[Update, Draft], None]) -> Callable[[Update], None]:
    """A step of the provisional version, called ``name``: its failure is told, and the update goes on without it."""

    def step(update: Update) -> None:
        draft = update.provisional
        if draft is None:
            raise ValueError(f"update {update.id} has no provisional version")
        deaths = update.services.records.attempts(update.id).begun.get(name, 0)
        if deaths > MOST_DEATHS:
            _give_up(update, draft, f"the updater ended {deaths - 1} times during the step {name!r}")
            return
        try:
            run(update, draft)
        except (*NOT_THE_DROP, SupersededError):
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is: the drop is learnt all the same)
            _give_up(update, draft, str(error) or type(error).__name__)

    return step


def unless_left_out(done: Callable[[Update, Draft], bool]) -> Callable[[Update], bool]:
    """Whether a step need not be run: it is done, or the update has no (more) use for a provisional version."""

    def decide(update: Update) -> bool:
        draft = update.provisional if update.learns else None
        if draft is None or (draft.folder / GIVEN_UP).exists() or update.stored() is not None:
            return True
        return done(update, draft)

    return decide


def is_imprinted(update: Update, draft: Draft) -> bool:
    """Whether the child has made it, or it is in the store already."""
    return draft.stored() is not None or is_made(update, draft)


def is_measured(_: Update, draft: Draft) -> bool:
    """Whether it was evaluated."""
    return draft.stored() is not None or (draft.folder / EVALUATION).exists()


def is_stored(_: Update, draft: Draft) -> bool:
    """Whether it is in the store."""
    return draft.stored() is not None


def is_offered(_: Update, draft: Draft) -> bool:
    """Whether the pointer has named it, or may not."""
    return not draft.passed() or draft.was_pointed()


def served_in_place(update: Update) -> Draft | None:
    """The provisional version, if it is what the pointer names now."""
    draft = update.provisional if update.find_plan() is not None else None
    return draft if draft is not None and draft.is_served() else None


def fall_back(update: Update) -> None:
    """The gate refused what was learnt: keep the provisional version that is served, or go back to its parent."""
    draft = served_in_place(update)
    evaluation = draft.evaluation() if draft is not None else None
    if draft is None or evaluation is None:
        return
    if is_no_worse(evaluation, len(update.plan.classes) - len(update.plan.new_classes)):
        what = f"the provisional version {draft.number} stays served"
    else:
        what = f"version {update.plan.parent} is served again instead of the provisional version {draft.number}"
        _point_back(update, f"the gate refused version {update.version}")
    message = f"version {update.version} is refused: {what}"
    logger.warning(message)
    update.services.status.add_error("gate", message)


def is_no_worse(evaluation: Evaluation, old_count: int) -> bool:
    """Whether a version answers at least as many of its evaluation pictures right as its parent does.

    The parent knows none of the new classes; ``old_count`` is how many classes it knows.
    """
    right = sum(row[index] for index, row in enumerate(evaluation.confusion))
    of_old_classes = sum(sum(row) for row in evaluation.confusion[:old_count])
    return right >= (evaluation.parent_old or 0.0) * of_old_classes - 1e-6


def withdraw(update: Update, reason: str) -> None:
    """Go back to the parent, if the provisional version of an update that learns nothing is served."""
    if served_in_place(update) is not None:
        _point_back(update, f"update {update.id}: {reason}")


def _point_back(update: Update, reason: str) -> None:
    parent = update.plan.parent
    if parent is None:
        raise ValueError(f"update {update.id} has a provisional version without a parent")
    try:
        update.services.versions.point_to(parent, reason)
    except PreconditionFailedError:
        logger.info("somebody else has moved the pointer meanwhile: it stays there")


def _give_up(update: Update, draft: Draft, reason: str) -> None:
    message = f"no provisional version in update {update.id}: {reason}"
    logger.warning(message)
    update.services.status.add_error("imprint", message)
    draft.folder.mkdir(parents=True, exist_ok=True)
    (draft.folder / GIVEN_UP).touch()


STEPS = tuple(
    (name, attempted(name, run), unless_left_out(done))
    for name, run, done in (
        ("imprint", imprint, is_imprinted),
        ("evaluate-provisional", write_evaluation, is_measured),
        ("store-provisional", publish, is_stored),
        ("point-provisional", offer, is_offered),
    )
)
"""(name, what it does, whether it need not be run), in order; between ``prepare`` and ``learn``."""
