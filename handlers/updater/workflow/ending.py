"""How every update ends, learnt or given up: its last document, its scratch space removed, its outcome shown."""

import logging
import shutil
from collections import Counter

from handlers.bucket.update_documents import Done, TriedRefinement
from handlers.bucket.update_documents import Result as Outcome
from handlers.updater.context.parent import keep_as_parent
from handlers.updater.context.update import Update
from handlers.updater.intake.archived_images import note_learnt, note_refused
from handlers.updater.metrics import REFINEMENTS
from handlers.updater.training.messages import STATE
from handlers.updater.workflow import provisional_steps as provisional
from model_store.manifest import now
from model_store.objects import StoreError

logger = logging.getLogger(__name__)


def end_learning(update: Update, nothing: str | None) -> None:
    """End an update that learnt, by what the gate said of its version; ``nothing``: why there was nothing to learn."""
    records, plan = update.services.records, update.plan
    evaluation = update.candidate.evaluation() if update.makes_version else None
    outcome: Outcome = "rejected"
    reason = nothing
    if evaluation is not None:
        outcome = "published" if evaluation.gate.passed else "refused"
        # What too few images leave open is told beside a published version.
        reason = "; ".join(evaluation.gate.reasons or evaluation.gate.undecided) or None
        if outcome == "refused" and (kept := provisional.served_in_place(update)) is not None:
            reason = f"{reason}; the provisional version {kept.number} stays served"
        if not update.reads_all:
            classes = (*plan.new_classes, *plan.updated_classes)
            if outcome == "published":
                note_learnt(records, classes)
            else:
                note_refused(records, update.id, classes)
    end_update(update, outcome, reason)


def end_update(update: Update, outcome: Outcome, reason: str | None) -> None:
    """Write ``done.json`` and remove the scratch space."""
    if outcome in {"failed", "superseded"}:
        provisional.withdraw(update, outcome)
    plan = update.find_plan()
    services = update.services
    entries = plan.entries if plan is not None else ()
    gone = [entry for entry in entries if entry.key != entry.target]
    if plan is not None and outcome in {"failed", "superseded"}:
        gone = [*plan.of_role("rejected"), *plan.idle_markers()]
    done = Done(
        id=update.id,
        result=outcome,
        version=plan.version if plan is not None and outcome in {"published", "refused"} else None,
        provisional=plan.provisional if plan is not None and outcome in {"published", "refused"} else None,
        reason=reason,
        finished_at=now(),
        images=Counter(entry.role for entry in entries),
        moved=len(gone) - len(update.left),
        left=tuple(update.left),
        timings=update.timings(),
    )
    if update.refines and outcome != "superseded":
        _note_refinement(update, TriedRefinement(update_id=update.id, result=outcome, reason=reason))
    services.records.write_done(done)
    if outcome == "published":
        _keep_for_the_next(update)
    shutil.rmtree(update.folder, ignore_errors=True)
    if update.refines:  # an alert tells of updates that were refused, and nothing is wrong with a refinement that is
        services.metrics.refinements.labels(REFINEMENTS[outcome]).inc()
    else:
        services.metrics.updates.labels(outcome).inc()
    services.status.set_last_update(
        done.model_dump(mode="json", exclude={"left", "format"}) | {"refined": update.refines}
    )
    logger.info("update %s: %s", update.id, outcome, extra={"version": done.version, "reason": reason or "-"})


def _note_refinement(update: Update, tried: TriedRefinement) -> None:
    """Of the version that it started from; before it had a plan, of the one that is served."""
    plan, pointer = update.find_plan(), update.services.versions.current()
    version = plan.parent if plan is not None else pointer.version if pointer is not None else None
    if version is not None:
        update.services.records.note_refinement(version, tried)


def _keep_for_the_next(update: Update) -> None:
    """The next update starts from this version most likely: it need not fetch from the store what was made here."""
    manifest, work = update.stored(), update.services.settings.work_folder
    if manifest is None:
        return
    try:
        keep_as_parent(update.services.versions, manifest, work, (update.folder, update.folder / STATE))
    except StoreError as error:  # it is fetched then
        logger.info("the files of version %d are not kept here: %s", manifest.version, error)
