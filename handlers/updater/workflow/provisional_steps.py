"""Imprint first: a version that knows the new classes by their mean features, served until they are learnt.

It is an offer on top: whatever goes wrong with it is told and gone past, and the drop is learnt all the same, from the
version that was served before. The gate judges it as any other. What becomes of it in the end:

- the learnt version passes: that one takes over;
- the learnt version is refused: ``fall_back`` keeps the provisional one if it is no worse than its parent;
- nothing is learnt (failed, superseded): ``withdraw`` goes back to the parent, for the images are still to be learnt.
"""

import logging
from collections.abc import Callable

from handlers.updater.context.candidate import Candidate
from handlers.updater.context.update import Update
from handlers.updater.errors import NOT_THE_DROP, SupersededError
from handlers.updater.release.publish import point, publish, write_evaluation
from handlers.updater.training.launch import is_made, run_child
from handlers.updater.training.learnt_spec import learnt_spec
from model_store.layout import EVALUATION
from model_store.manifest import Evaluation
from model_store.objects import PreconditionFailedError

logger = logging.getLogger(__name__)

GIVEN_UP = "given_up"
MOST_DEATHS = 10
"""The process may be killed so often within one of these steps before the step is suspected."""


def imprint(update: Update, candidate: Candidate) -> None:
    """Run the child: the state, its export, the comparison of the two."""
    run_child(update, candidate)


def evaluate(update: Update, candidate: Candidate) -> None:
    """Measure it, and decide whether it may be served."""
    write_evaluation(update, learnt_spec(update, candidate))


def store(update: Update, candidate: Candidate) -> None:
    """Upload it, its manifest last."""
    publish(update, learnt_spec(update, candidate))


def offer(update: Update, candidate: Candidate) -> None:
    """Let every server serve it, and go on without waiting for that."""
    services = update.services
    services.expect_provisional(candidate.number, update.plan.dropped_at)
    point(update, candidate, f"imprinted by update {update.id}, until it is learnt")
    logger.info("version %d answers until update %s is learnt", candidate.number, update.id)


def attempted(name: str, run: Callable[[Update, Candidate], None]) -> Callable[[Update], None]:
    """A step of the provisional version, called ``name``: its failure is told, and the update goes on without it."""

    def step(update: Update) -> None:
        candidate = update.provisional
        if candidate is None:
            raise ValueError(f"update {update.id} has no provisional version")
        deaths = update.services.records.attempts(update.id).begun.get(name, 0)
        if deaths > MOST_DEATHS:
            _give_up(update, candidate, f"the updater ended {deaths - 1} times during the step {name!r}")
            return
        try:
            run(update, candidate)
        except (*NOT_THE_DROP, SupersededError):
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is: the drop is learnt all the same)
            _give_up(update, candidate, str(error) or type(error).__name__)

    return step


def unless_left_out(done: Callable[[Update, Candidate], bool]) -> Callable[[Update], bool]:
    """Whether a step need not be run: it is done, or the update has no (more) use for a provisional version."""

    def decide(update: Update) -> bool:
        candidate = update.provisional if update.makes_version else None
        if candidate is None or (candidate.folder / GIVEN_UP).exists() or update.stored() is not None:
            return True
        return done(update, candidate)

    return decide


def is_imprinted(update: Update, candidate: Candidate) -> bool:
    """Whether the child has made it, or it is in the store already."""
    return candidate.stored() is not None or is_made(update, candidate)


def is_measured(_: Update, candidate: Candidate) -> bool:
    """Whether it was evaluated."""
    return candidate.stored() is not None or (candidate.folder / EVALUATION).exists()


def is_stored(_: Update, candidate: Candidate) -> bool:
    """Whether it is in the store."""
    return candidate.stored() is not None


def is_offered(_: Update, candidate: Candidate) -> bool:
    """Whether the pointer has named it, or may not."""
    return not candidate.passed() or candidate.was_pointed()


def served_in_place(update: Update) -> Candidate | None:
    """The provisional version, if it is what the pointer names now."""
    candidate = update.provisional if update.find_plan() is not None else None
    return candidate if candidate is not None and candidate.is_served() else None


def fall_back(update: Update) -> None:
    """The gate refused what was learnt: keep the provisional version that is served, or go back to its parent."""
    candidate = served_in_place(update)
    evaluation = candidate.evaluation() if candidate is not None else None
    if candidate is None or evaluation is None:
        return
    if is_no_worse(evaluation, len(update.plan.classes) - len(update.plan.new_classes)):
        what = f"the provisional version {candidate.number} stays served"
    else:
        what = f"version {update.plan.parent} is served again instead of the provisional version {candidate.number}"
        _point_back(update, f"the gate refused version {update.version}")
    message = f"version {update.version} is refused: {what}"
    logger.warning(message)
    update.services.status.add_error("gate", message)


def is_no_worse(evaluation: Evaluation, old_count: int) -> bool:
    """Whether a version answers at least as many of its evaluation images rightly as its parent does.

    The parent knows none of the new classes; ``old_count`` is how many classes it knows.
    """
    right = sum(evaluation.confusion.right())
    of_old_classes = sum(evaluation.confusion.measured()[:old_count])
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


def _give_up(update: Update, candidate: Candidate, reason: str) -> None:
    message = f"no provisional version in update {update.id}: {reason}"
    logger.warning(message)
    update.services.status.add_error("imprint", message)
    candidate.folder.mkdir(parents=True, exist_ok=True)
    (candidate.folder / GIVEN_UP).touch()


STEPS = tuple(
    (name, attempted(name, run), unless_left_out(done))
    for name, run, done in (
        ("imprint", imprint, is_imprinted),
        ("evaluate-provisional", evaluate, is_measured),
        ("store-provisional", store, is_stored),
        ("point-provisional", offer, is_offered),
    )
)
"""(name, what it does, whether it need not be run), in order; between ``prepare`` and ``learn``."""
