"""Walks an update through its steps, and ends it when it cannot succeed: no drop may loop for ever."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from handlers.bucket.layout import INCOMING, READY_MARKER
from handlers.bucket.update_documents import Attempts, FailedFolder, GivenUp
from handlers.updater.context.update import Update
from handlers.updater.errors import NOT_THE_DROP, SupersededError
from handlers.updater.intake.listing import Folder, list_incoming
from handlers.updater.status import Phase
from handlers.updater.workflow.ending import end_update
from handlers.updater.workflow.ownership import Ownership

logger = logging.getLogger(__name__)

MOST_FAILURES = 3
"""A step that failed so often fails for what is in the drop."""
MOST_DEATHS = 10
"""The process may be killed so often within one step before the drop is suspected."""


@dataclass(frozen=True)
class Step:
    """A step by name: what it does, whether it is done, whether a failure may still set the drop aside."""

    name: str
    run: Callable[[Update], None]
    done: Callable[[Update], bool]
    may_set_aside: bool = True
    once: bool = False
    """Whether the step is done for good once a later one has begun: a person may have undone its work since."""


class SetAsideError(Exception):
    """The update is given up; the message says why."""


class Runner:
    """Runs one update to its end. ``run`` may be called again after any exception: it goes on where it was."""

    def __init__(self, update: Update, steps: Sequence[Step]) -> None:
        self._update = update
        self._steps = steps
        self._begun: set[str] = set()
        self._ownership = Ownership(update)

    def run(self) -> None:
        """Every step that is not done yet. Raises what is to be waited out (see ``NOT_THE_DROP``) or tried again."""
        attempts = self._ownership.take()
        if attempts.given_up is not None:
            self._end(attempts.given_up)
            return
        try:
            for step in self._steps:
                self._update.services.tick()
                if not (step.once and self._is_past(step, attempts)) and not step.done(self._update):
                    self._run_step(step)
        except SupersededError as error:
            # What another updater published may be this same update, continued after it took over.
            self._give_up(GivenUp(result="superseded", reason=str(error)))
        except SetAsideError as error:
            self._give_up(GivenUp(result="failed", reason=str(error)))

    def give_way(self, reason: str) -> None:
        """End the update without a version before it has a plan: its folders, still in place, are taken up again."""
        self._give_up(GivenUp(result="superseded", reason=reason))

    def _run_step(self, step: Step) -> None:
        update = self._update
        update.services.leadership.confirm()
        self._count_begin(step)
        self._show(step)
        started = time.monotonic()
        logger.info("update %s: %s", update.id, step.name)
        try:
            step.run(update)
        except (*NOT_THE_DROP, SupersededError):
            raise
        except Exception as error:
            self._count_failure(step, error)
            raise
        finally:
            if step.name != "finish":
                update.add_timing(step.name, time.monotonic() - started)

    def _count_begin(self, step: Step) -> None:
        """Once per process: what is found begun but not done was cut short by the end of a process."""
        if step.name in self._begun:
            return

        def one_more(attempts: Attempts) -> Attempts:
            if self._is_past(step, attempts):
                return attempts  # it ended in an earlier process, and is only walked through again
            deaths = attempts.begun.get(step.name, 0)
            if step.may_set_aside and deaths >= MOST_DEATHS:
                raise SetAsideError(f"the updater ended {deaths} times during the step {step.name!r} of this update")
            return attempts.model_copy(update={"begun": {**attempts.begun, step.name: deaths + 1}})

        self._ownership.begin(one_more)
        self._begun.add(step.name)

    def _count_failure(self, step: Step, error: Exception) -> None:
        def one_more(attempts: Attempts) -> Attempts:
            failed = {**attempts.failed, step.name: attempts.failed.get(step.name, 0) + 1}
            return attempts.model_copy(update={"failed": failed})

        failures = self._ownership.begin(one_more).failed[step.name]
        self._update.services.status.update_phase(attempt=failures + 1)
        if step.may_set_aside and failures >= MOST_FAILURES:
            raise SetAsideError(f"{step.name} failed {failures} times: {error}") from error

    def _is_past(self, step: Step, attempts: Attempts) -> bool:
        """Whether a later step has begun."""
        names = [one.name for one in self._steps]
        return any(later in attempts.begun for later in names[names.index(step.name) + 1 :])

    def _give_up(self, wanted: GivenUp) -> None:
        """Decide that the update makes no version, unless it is another updater's by now, and end it so."""
        self._update.services.leadership.confirm()
        self._end(self._ownership.give_up(wanted))

    def _end(self, given_up: GivenUp) -> None:
        """Do what was decided; again, where an earlier process was cut short at that."""
        if given_up.result == "failed":
            self._set_aside(given_up.reason)
        else:
            logger.warning("update %s is superseded: %s", self._update.id, given_up.reason)
            end_update(self._update, "superseded", given_up.reason)

    def _set_aside(self, reason: str) -> None:
        """End the update as failed; its folders are left alone until their content changes."""
        update = self._update
        logger.error("update %s was given up: %s", update.id, reason)
        update.services.status.add_error("update", f"update {update.id} was given up: {reason}")
        remedy = f"{reason} (to try again, change its files, or create {READY_MARKER} in the folder)"
        records = update.services.records
        failed = records.failed()
        for name, fingerprint in self._unchanged_folders().items():
            failed[name] = FailedFolder(fingerprint=fingerprint, update_id=update.id, reason=remedy)
        records.write_failed(failed)
        end_update(update, "failed", reason)

    def _unchanged_folders(self) -> dict[str, str]:
        """Fingerprints, as they are now, of the folders that hold nothing but what this update took up."""
        update = self._update
        plan = update.find_plan()
        keys = None if plan is None else {entry.key for entry in plan.entries}
        result = {}
        for name, part in update.intent.folders.items():
            folder, foreign = Folder(name), False
            for info, owner, path in list_incoming(update.services.objects, f"{INCOMING}{name}/" if name else INCOMING):
                if owner == name:
                    folder.add(info, path)
                    foreign = foreign or (keys is not None and info.key not in keys)
            if not foreign and (plan is not None or folder.fingerprint == part.fingerprint):
                result[name] = folder.fingerprint
        return result

    def _show(self, step: Step) -> None:
        """Tell the page where the update is."""
        update, status = self._update, self._update.services.status
        update.services.metrics.moves()
        if not self._begun - {step.name}:
            status.set_phase(Phase(update=update.id, step=step.name, refines=update.refines))
        plan = update.find_plan() if step.name != "ingest" else None
        status.update_phase(step=step.name, stage=None, epoch=None, epochs=None)  # those were of the step before
        if plan is not None:
            status.update_phase(
                new_classes=plan.new_classes,
                updated_classes=plan.updated_classes,
                version=plan.version,
                parent=plan.parent,
                images=len(plan.of_role("train", "holdout")),
            )
