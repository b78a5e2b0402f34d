"""The steps of an update, in order. Each may be begun again after a kill, and leaves the same behind.

Where a step's work is a durable fact already, ``done`` says so and it is skipped. ``reject``, ``archive`` and
``finish`` are always walked through again: they look at each object and do what is missing.
"""

import logging
from collections.abc import Callable

from handlers.bucket.seen_images import Learnt
from handlers.updater.context.update import Update, served_manifest
from handlers.updater.edits.find_images import erase_corrected
from handlers.updater.intake.archived_images import joining
from handlers.updater.intake.listing import Folder
from handlers.updater.intake.originals import move_all, write_reasons
from handlers.updater.intake.plan import Ingest
from handlers.updater.intake.update_reader import update_reader
from handlers.updater.release import publish as publication
from handlers.updater.release.publish import publish, write_evaluation
from handlers.updater.training.arrays import Preparation
from handlers.updater.training.launch import is_made, is_prepared, run_child
from handlers.updater.training.learnt_spec import learnt_spec
from handlers.updater.workflow import provisional_steps as provisional
from handlers.updater.workflow.ending import end_learning
from handlers.updater.workflow.runner import Step
from model_store.layout import EVALUATION

logger = logging.getLogger(__name__)

LOGGED_FILES = 10
"""Rejected files that the log names; each has its reason beside it in the store."""


def ingest(update: Update) -> None:
    """Read and judge every dropped file; write the plan."""
    services = update.services
    served = served_manifest(services)
    config = update.choose_way(served).config
    parent = update.start_from(served) if served is not None else None
    maker = Ingest(
        services.objects,
        services.versions,
        services.settings,
        config.resize,
        leaves_out=config.frozen,
        troubled=services.troubled,
    )
    names = {name for folder in update.intent.folders if (name := Folder(folder).class_name) is not None}
    room = services.settings.updater.max_images_per_update - sum(one.limit for one in update.intent.folders.values())
    learnt = parent.learnt if parent is not None else Learnt.empty()
    joined = joining(services.objects, services.records, learnt, names, room)
    if joined:
        logger.info("%d images of refused updates join", len(joined), extra={"update": update.id})
    services.records.write_plan(maker.run(update.intent, parent, update.folder, services.tick, joined))


def reject(update: Update) -> None:
    """Move what was refused to ``rejected/``, each with its reason.

    Where nothing else of a class is left, its marker goes too: alone it would let a later drop count as complete.
    """
    services, entries = update.services, update.plan.of_role("rejected")
    write_reasons(services.objects, update.id, entries)
    moved, left = move_all(services.objects, entries, services.troubled)
    _, left_markers = move_all(services.objects, update.plan.idle_markers(), services.troubled)
    update.left += left + left_markers
    services.metrics.images.labels("rejected").inc(len(moved))
    for entry in moved:
        services.status.add_rejected(entry.key, entry.class_name, entry.reason or "", update.id)
    for entry in moved[:LOGGED_FILES]:
        logger.warning("rejected %s: %s", entry.key, entry.reason, extra={"update": update.id})
    if len(moved) > LOGGED_FILES:
        logger.warning("... and %d more files", len(moved) - LOGGED_FILES, extra={"update": update.id})


def prepare(update: Update) -> None:
    """Write the arrays that learning reads."""
    services, plan = update.services, update.plan
    reader = update_reader(update, plan.resize)
    Preparation(services.objects, reader, plan, update.folder, services.tick).run(update.learning_parent)


def learn(update: Update) -> None:
    """Run the learning child: one phase, its export, the comparison of the two."""
    services = update.services
    shown = provisional.served_in_place(update)
    services.status.update_phase(provisional=shown.number if shown is not None else None)
    services.metrics.phase_duration.observe(run_child(update, update.candidate).seconds["learn"])


def evaluate(update: Update) -> None:
    """Measure the exported model, and decide whether it may be served."""
    write_evaluation(update, learnt_spec(update, update.candidate))


def store(update: Update) -> None:
    """Upload the version, its manifest last; a refused one too."""
    publish(update, learnt_spec(update, update.candidate))


def point(update: Update) -> None:
    """Let every server serve the version."""
    publication.point(update, update.candidate, f"{'refined' if update.refines else 'learnt'} by update {update.id}")


def swap(update: Update) -> None:
    """Wait until the server answers with the version. A server that is away does not hold up the archive."""
    if not update.services.wait_served(update.version, None if update.refines else update.plan.dropped_at):
        logger.warning("version %d is published but not served yet", update.version, extra={"update": update.id})


def archive(update: Update) -> None:
    """Move what was learnt, and the markers, to ``archive/``: of a refused version as well.

    It holds what it learnt, and a person may still let it be served (``lucir rollback``); left in ``incoming/``, its
    images would be learnt and refused again for ever. They join the next drop of their class. The earlier original of
    a corrected image goes once the image is served as what it is.
    """
    services = update.services
    moved, left = move_all(services.objects, update.plan.of_role("train", "holdout"), services.troubled)
    for role, label in (("train", "trained"), ("holdout", "held_out")):
        services.metrics.images.labels(label).inc(sum(entry.role == role for entry in moved))
    erase_corrected(update)
    gone = update.plan.idle_markers()
    markers = [entry for entry in update.plan.of_role("marker") if entry not in gone]
    _, left_markers = move_all(services.objects, markers, services.troubled)
    update.left += left + left_markers


def finish(update: Update) -> None:
    """Write down how it ended; remove the scratch space."""
    end_learning(update, None if update.plan.of_role("rejected") else "nothing usable was found")


def never(_: Update) -> bool:
    """Of a step that is run every time."""
    return False


def unless_stored(done: Callable[[Update], bool]) -> Callable[[Update], bool]:
    """Steps that have no work when nothing is left to learn, or when the version is in the store already."""
    return lambda update: not update.makes_version or update.stored() is not None or done(update)


def is_measured(update: Update) -> bool:
    """Whether the candidate was evaluated."""
    return (update.folder / EVALUATION).exists()


def nothing_to_point(update: Update) -> bool:
    """Whether the pointer has named the version, or may not."""
    return not update.makes_version or not update.candidate.passed() or update.candidate.was_pointed()


def _nothing_to_fall_back_from(update: Update) -> bool:
    return not update.makes_version or update.candidate.passed() or provisional.served_in_place(update) is None


def _nothing_to_swap(update: Update) -> bool:
    return not update.makes_version or not update.candidate.passed()


STEPS: tuple[Step, ...] = (
    Step("ingest", ingest, lambda update: update.find_plan() is not None),
    Step("reject", reject, never),
    Step("prepare", prepare, unless_stored(is_prepared)),
    *(Step(name, run, done, may_set_aside=False) for name, run, done in provisional.STEPS),
    Step("learn", learn, unless_stored(lambda update: is_made(update, update.candidate))),
    Step("evaluate", evaluate, unless_stored(is_measured)),
    Step("store", store, unless_stored(never)),
    Step("point", point, nothing_to_point, may_set_aside=False, once=True),
    Step("fall-back", provisional.fall_back, _nothing_to_fall_back_from, may_set_aside=False),
    Step("swap", swap, _nothing_to_swap, may_set_aside=False),
    Step("archive", archive, never, may_set_aside=False),
    Step("finish", finish, never, may_set_aside=False),
)
