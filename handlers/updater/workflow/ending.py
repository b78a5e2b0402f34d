"""How every update ends, learnt or given up: its last document, its scratch space removed, its outcome shown."""

import logging
import shutil

from handlers.bucket.update_documents import Done
from handlers.bucket.update_documents import Result as Outcome
from handlers.updater.context.update import Update
from handlers.updater.intake.roles import count_roles
from handlers.updater.workflow import provisional_steps as provisional
from model_store.manifest import now

logger = logging.getLogger(__name__)


def end_update(update: Update, outcome: Outcome, reason: str | None) -> None:
    """Write ``done.json`` and remove the scratch space."""
    if outcome in {"failed", "superseded"}:
        provisional.withdraw(update, outcome)
    plan = update.find_plan()
    services = update.services
    entries = plan.entries if plan is not None else ()
    gone = entries
    if plan is not None and outcome in {"failed", "superseded"}:
        gone = plan.of_role("rejected") + plan.idle_markers()
    done = Done(
        id=update.id,
        result=outcome,
        version=plan.version if plan is not None and outcome in {"published", "refused"} else None,
        provisional=plan.provisional if plan is not None and outcome in {"published", "refused"} else None,
        reason=reason,
        finished_at=now(),
        images=count_roles([entry.role for entry in entries]),
        moved=len(gone) - len(update.left),
        left=tuple(update.left),
        timings=update.timings(),
    )
    services.records.write_done(done)
    shutil.rmtree(update.folder, ignore_errors=True)
    services.metrics.updates.labels(outcome).inc()
    services.status.set_last_update(done.model_dump(mode="json", exclude={"left", "format"}))
    logger.info("update %s: %s", update.id, outcome, extra={"version": done.version, "reason": reason or "-"})
