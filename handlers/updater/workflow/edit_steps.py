"""The steps of an update that a person asked for: as durable, and as often repeatable, as those of a drop."""

import logging

from handlers.bucket.edit_documents import EDIT, DeleteImages, EditPlan, Merge, Operation, Remove
from handlers.bucket.edit_rules import EditError, checked, regrouping
from handlers.bucket.seen_images import short
from handlers.bucket.update_documents import Plan
from handlers.bucket.update_documents import Result as Outcome
from handlers.updater.context.parent import ParentVersion, remove_parents
from handlers.updater.context.update import Update
from handlers.updater.edits.edited_spec import edit_plan, edited_spec
from handlers.updater.edits.find_images import decoded_digests, stored_files
from handlers.updater.edits.receipt import account, is_accounted
from handlers.updater.intake.archived_images import note_edited, unlearnt_hashes
from handlers.updater.intake.update_reader import update_reader
from handlers.updater.release import publish as publication
from handlers.updater.release.publish import publish, write_evaluation
from handlers.updater.training.messages import RESULT, TASK, EditTask
from handlers.updater.workflow.ending import end_update
from handlers.updater.workflow.learn_steps import STEPS, is_measured, never, nothing_to_point, unless_stored
from handlers.updater.workflow.runner import Step
from model_store.manifest import now

logger = logging.getLogger(__name__)

LONGEST_REASON = 200
"""Characters of the pointer's reason."""


def resolve(update: Update) -> None:
    """Find out what the request means for the version that is served; write that down, and which version it makes."""
    services, request = update.services, update.request
    pointer = services.versions.current()
    parent = update.start_from(services.versions.manifest(pointer.version)) if pointer is not None else None
    classes = parent.manifest.classes if parent is not None else ()
    try:
        edit = _resolved(update, checked(request.operation, classes), parent)
    except EditError as error:
        edit = EditPlan(operation=request.operation, refused=str(error))
    services.records.write(update.id, EDIT, edit)
    changes = edit.refused is None and (bool(edit.learnt) or not isinstance(edit.operation, DeleteImages))
    services.records.write_plan(
        Plan(
            id=update.id,
            created_at=now(),
            parent=parent.manifest.version if parent is not None else None,
            version=services.versions.next_number() if changes else None,
            classes=regrouping(edit.operation, classes).classes if changes else classes,
            updated_classes=(edit.operation.into,) if isinstance(edit.operation, Merge) and changes else (),
            resize=parent.manifest.preprocessing.resize if parent is not None else services.config.resize,
            dropped_at=request.created_at.timestamp(),
        )
    )


def _resolved(update: Update, operation: Operation, parent: ParentVersion | None) -> EditPlan:
    """Raises ``EditError`` for images that are nowhere."""
    services = update.services
    edit = EditPlan(operation=operation)
    if parent is None or not isinstance(operation, Remove | DeleteImages):
        return edit
    learnt = parent.learnt
    if isinstance(operation, Remove):
        wanted = learnt.of_class(operation.name) | unlearnt_hashes(services.records, learnt, operation.name)
        files = stored_files(services.objects, services.records, wanted, services.tick)
        return edit.model_copy(update={"files": files, "erases": operation.delete_originals})
    wanted = {short(sha) for sha in operation.hashes}
    files = stored_files(services.objects, services.records, wanted, services.tick)
    known = tuple(learnt.find(operation.hashes))
    if not files and not known:
        raise EditError("none of these images has been learnt by the served version, and no stored file has its hash")
    digests = learnt.digests_of(operation.hashes)
    reader = update_reader(update, parent.manifest.preprocessing.resize)
    digests |= decoded_digests(services.objects, files, reader, services.tick)
    found = {"files": files, "erases": True, "learnt": known, "digests": tuple(sorted(d.hex() for d in digests))}
    return edit.model_copy(update=found)


def apply(update: Update) -> None:
    """Let the learning child do it: it holds a network in memory for some seconds, and may fail."""
    services, edit = update.services, edit_plan(update)
    update.folder.mkdir(parents=True, exist_ok=True)
    services.status.update_phase(stage=str(edit.operation))
    EditTask(
        operation=edit.operation,
        parent=str(update.known_parent.folder),
        digests=edit.digests,
        learnt=edit.learnt,
        threads=services.settings.learning.threads,
        log=services.settings.log,
    ).write(update.folder / TASK)
    services.child.run("edit", update.folder, lambda _: None, services.stop, services.tick)
    services.child.end()


def evaluate(update: Update) -> None:
    """Measure the edited model, and decide whether it may be served."""
    write_evaluation(update, edited_spec(update))


def store(update: Update) -> None:
    """Upload the version, its manifest last."""
    publish(update, edited_spec(update))


def point(update: Update) -> None:
    """Let every server serve the version."""
    publication.point(update, update.candidate, str(edit_plan(update).operation)[:LONGEST_REASON])


def finish(update: Update) -> None:
    """Write down how it ended; remove the scratch space, and the local copy of the version before."""
    edit = edit_plan(update)
    outcome: Outcome = "published"
    reason = edit.refused
    if reason is not None:
        outcome = "rejected"
    elif update.makes_version and not update.candidate.passed():
        evaluation = update.candidate.evaluation()
        outcome, reason = "refused", "; ".join(evaluation.gate.reasons) if evaluation is not None else None
    if outcome == "published":
        note_edited(update.services.records, edit.operation)
    remove_parents(update.services.settings.work_folder)
    end_update(update, outcome, reason)


_OF_A_DROP = {step.name: step for step in STEPS}

EDIT_STEPS: tuple[Step, ...] = (
    Step("resolve", resolve, lambda update: update.find_plan() is not None),
    Step("apply", apply, unless_stored(lambda update: (update.folder / RESULT).exists())),
    Step("evaluate", evaluate, unless_stored(is_measured)),
    Step("store", store, unless_stored(never)),
    Step("point", point, nothing_to_point, may_set_aside=False, once=True),
    _OF_A_DROP["swap"],
    Step("account", account, is_accounted, may_set_aside=False),
    Step("finish", finish, never, may_set_aside=False),
)
