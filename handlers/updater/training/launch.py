"""The parent's side of ``learn`` and ``imprint``: the task, what may be continued, the child and its progress."""

import logging
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from handlers.updater.context.candidate import Candidate
from handlers.updater.context.child import ChildProgress
from handlers.updater.context.update import Services, Update
from handlers.updater.training.arrays import PREPARED, read_forgotten
from handlers.updater.training.messages import RESULT, STATE, TASK, Result, Task
from model_store.layout import EVALUATION, HEAD, MODEL

logger = logging.getLogger(__name__)

_MADE = (RESULT, EVALUATION, MODEL, HEAD)
RESUME_PREFIX = "resume"


def make_task(update: Update, candidate: Candidate) -> Task:
    """What the settings of this process and the plan make of it."""
    settings, way = update.services.settings, update.way
    parent = update.parent if update.refines else update.learning_parent
    return Task(
        kind=candidate.kind,
        arrays=str(update.folder),
        preset=way.preset,
        overrides=dict(way.overrides),
        seed=settings.learning.seed,
        classes=update.plan.classes,
        parent=str(parent.folder) if parent is not None else None,
        parent_version=update.plan.parent if parent is not None else None,
        forgotten=read_forgotten(update.folder),
        refines=update.refines,
        needs_gpu=update.refines and settings.learning.refine == "auto",
        device=settings.learning.device,
        threads=settings.learning.threads,
        nice=settings.learning.nice,
        log=settings.log,
    )


def is_prepared(update: Update) -> bool:
    """Whether the arrays are there, made for this plan."""
    return (update.folder / PREPARED).exists()


def is_made(update: Update, candidate: Candidate) -> bool:
    """Whether the child has finished the task that the present settings give."""
    return (candidate.folder / RESULT).exists() and _left_task(candidate.folder) == make_task(
        update, candidate
    ).identity


def run_child(update: Update, candidate: Candidate) -> Result:
    """Let the child make a candidate's state and model. Raises as ``Child.run`` does."""
    services = update.services
    _begin(update, candidate)
    services.child.run("learn", candidate.folder, partial(report_progress, services), services.stop, services.tick)
    # The last job. A server is about to start a worker, which wants the memory; a head alone takes little of it.
    if candidate.kind == "learnt" and (update.refines or not update.way.config.frozen):
        services.child.end()
    return Result.read(candidate.folder / RESULT)


def _begin(update: Update, candidate: Candidate) -> None:
    """Write the task. What an earlier process left for another task (changed settings) is removed."""
    task, folder = make_task(update, candidate), candidate.folder
    folder.mkdir(parents=True, exist_ok=True)
    if _left_task(folder) != task.identity:
        for path in folder.glob(f"{RESUME_PREFIX}*"):
            path.unlink()
        shutil.rmtree(folder / STATE, ignore_errors=True)
        for name in _MADE:
            (folder / name).unlink(missing_ok=True)
    (folder / RESULT).unlink(missing_ok=True)
    (folder / EVALUATION).unlink(missing_ok=True)
    task.write(folder / TASK)


def report_progress(services: Services, progress: ChildProgress) -> None:
    """Show one line of the child's progress in the metrics and the status."""
    services.status.update_phase(stage=progress.stage)
    if progress.ratio is None:
        return
    services.metrics.phase_progress(progress.ratio, progress.losses, progress.lambda_, progress.eta)
    services.status.update_phase(
        epoch=progress.epoch,
        epochs=progress.epochs,
        progress=progress.ratio,
        losses=progress.losses,
        lambda_=progress.lambda_,
        eta=progress.eta,
    )
    if progress.losses:
        services.status.add_loss(progress.ratio, sum(progress.losses.values()))


def _left_task(folder: Path) -> dict[str, Any] | None:
    try:
        return Task.read(folder / TASK).identity
    except (OSError, ValueError):
        return None
