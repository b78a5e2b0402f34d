"""The updater: threads that watch, reconcile and answer; and the main loop that learns."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from handlers.backoff import backoff
from handlers.bucket.edit_documents import EditRequest, Relearn
from handlers.bucket.edit_requests import EditDesk
from handlers.bucket.update_documents import Done, FolderIntent, Intent
from handlers.bucket.updates import UpdateRecords
from handlers.labelling.unsure_images import UnsureImages, UnsureRules
from handlers.retention.prune import Retention
from handlers.settings import Settings
from handlers.sidecar.machine_metrics import MachineCollector
from handlers.updater.context.preset import unused_weights
from handlers.updater.context.troubled import Troubled
from handlers.updater.context.update import Services, Update, served_manifest
from handlers.updater.context.way import find_way
from handlers.updater.errors import BlockedError, LearningError, LeaseLostError, MachineError, StopRequestedError
from handlers.updater.http.versions import VersionsView
from handlers.updater.intake.second_look import SecondLook
from handlers.updater.intake.selection import select
from handlers.updater.intake.watch import Watcher
from handlers.updater.leader.fenced_store import FencedStore
from handlers.updater.leader.leadership import Leadership
from handlers.updater.metrics import Metrics
from handlers.updater.release.swap import ServingLoop
from handlers.updater.status import REJECTED_KEPT, Status
from handlers.updater.training.process import Child
from handlers.updater.workflow.edit_steps import EDIT_STEPS
from handlers.updater.workflow.learn_steps import STEPS
from handlers.updater.workflow.refine_due import DueRefinement
from handlers.updater.workflow.relearn_steps import RELEARN_STEPS
from handlers.updater.workflow.runner import Runner, Step
from lucir_core.config.phase_config import PhaseConfig
from model_store.local_files import explain, is_full
from model_store.objects import ObjectStore, PreconditionFailedError, StoreError
from model_store.versions import POINTER, VersionNotFoundError, VersionStore

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
IDLE_SECONDS = 1.0
GIVE_UP = 5
"""Failures in a row after which an updater that is to end ends without success."""
UNSURE_SECONDS = 60.0
"""Between two looks for images to label that are too old to be kept."""


class Updater:
    """Everything but the web server. ``run`` is to be called from the main thread."""

    def __init__(
        self,
        settings: Settings,
        config: PhaseConfig,
        objects: ObjectStore,
        steps: Sequence[Step] = STEPS,
        *,
        once: bool = False,
    ) -> None:
        """once: end when nothing is left to learn."""
        self.settings = settings
        self.objects = objects
        self.metrics = Metrics(settings.updater.metric_classes)
        self.metrics.registry.register(MachineCollector(settings.data))
        if not settings.updater.learns:  # "no updater is active" is not for one that never will be
            self.metrics.registry.unregister(self.metrics.active)
        self.status = Status(objects.url)
        self.versions = VersionStore(objects)
        self._leadership = Leadership(settings, objects, self.metrics, self.status)
        fenced = FencedStore(objects, self._leadership.hold)
        self.records = UpdateRecords(fenced)
        self.view = VersionsView(self.versions, self.records)
        self.edits = EditDesk(objects, self.records, settings.updater.poll_seconds)
        self.stopping = threading.Event()
        self.gave_up = False
        """Whether it was to end when nothing is left, and ended with something left that failed again and again."""
        self._steps = steps
        self._ends = once
        troubled = Troubled()
        self._watcher = Watcher(objects, settings.updater, self.metrics, self.status, troubled)
        self._watcher.set_known(frozenset(), frozen=config.frozen)
        self._serving = ServingLoop(settings, self.versions, self.metrics, self.status)
        self._child, self._refiner = Child(), Child()
        self._services = self._make_services(config, fenced, troubled)
        self._retention = Retention(fenced, settings.retention, self._services.tick, lambda: self._leadership.epoch)
        self._unsure = UnsureImages(UnsureRules.of(settings.labelling, settings.data))
        self._unsure_swept = -UNSURE_SECONDS
        self._second_look = SecondLook(fenced, self.records, settings.updater.settle_seconds)
        self._refinement = DueRefinement(self._services, self._watcher.arriving, self.edits)
        self._runner: tuple[Update, Runner] | None = None
        self._started = False
        self._epoch: int | None = None
        """In which all of this was read from the store."""
        self._latest: str | None = None
        """The newest update, as it was found when this process last looked at all of them."""
        self._late_looked = -float("inf")
        self._known: int | None = None
        """The version whose classes are known here."""
        self._frozen = config.frozen
        """Whether the served version has a frozen backbone: its learning child stays warm."""

    def _make_services(self, config: PhaseConfig, fenced: FencedStore, troubled: Troubled) -> Services:
        """What the steps of an update work with."""
        return Services(
            settings=self.settings,
            config=config,
            objects=fenced,
            versions=VersionStore(fenced, lambda: self._leadership.epoch),
            records=self.records,
            metrics=self.metrics,
            status=self.status,
            wait_served=lambda version, dropped: self._serving.wait_served(version, dropped, self.stopping),
            expect_provisional=self._serving.expect_provisional,
            leadership=self._leadership,
            child=self._child,
            stop=self.stopping,
            troubled=troubled,
        )

    def run(self) -> None:
        """Learn what is dropped until ``stopping`` is set, or nothing is left; failures are shown and waited out.

        Raises ``OSError`` when the data folder is another updater's.
        """
        self.status.beat("main")
        self._leadership.start()
        self._watcher.start()
        self._serving.start()
        failures = 0
        try:
            while not self.stopping.is_set():
                self.status.beat("main")
                try:
                    self._sweep_unsure()
                    self._once()
                    failures = 0
                    self.metrics.failures.set(0)
                    if self._ends and self._nothing_left():
                        logger.info("nothing is left to learn")
                        break
                except StopRequestedError:
                    break
                except LeaseLostError as error:
                    self._stand_by(error)
                except Exception as error:  # noqa: BLE001 (whatever it is: it is shown, waited out and tried again)
                    failures += 1
                    self.metrics.failures.set(failures)
                    self._child.end()
                    self._report(error)
                    if self._ends and failures >= GIVE_UP:
                        self.gave_up = True
                        break
                    self._pause(backoff(failures, FIRST_PAUSE, LONGEST_PAUSE), blocked=isinstance(error, BlockedError))
        finally:
            self._child.end()
            self._refiner.end()
            self._watcher.stop()
            self._serving.stop()
            self._leadership.stop()

    def _sweep_unsure(self) -> None:
        """Images that nobody has labelled go when they are too old, or when none are to be kept any more."""
        if time.monotonic() - self._unsure_swept >= UNSURE_SECONDS:
            self._unsure_swept = time.monotonic()
            try:
                self._unsure.sweep()
            except OSError as error:  # learning goes on without it
                self._report(error)

    def _once(self) -> None:
        """Go on with an update that has no end yet, or begin one if a drop is ready, or wait a moment for one."""
        if not self._leadership.wait_active(IDLE_SECONDS):
            self._child.end()
            return
        if self._leadership.epoch != self._epoch:  # another may have been active, and this one have noticed nothing
            self._epoch = self._leadership.epoch
            self._forget()
        if not self._started:
            self._restore()
        else:
            self._catch_up()
        if self._runner is None:
            self._second_look.look(self._watcher.short(), self._watcher.known)
            intent = self._asked(self.edits.next())
            if intent is None and self._wait_ready():
                intent = self._begin()
            elif intent is None:
                intent = self._asked(self._refinement.find(at_once=self._ends))
            if intent is None:
                return
            self._take_up(intent)
            self._child.warm()
        self._continue()

    def _catch_up(self) -> None:
        """Look, once a lease, whether an updater that slept began an update after this one had replaced it, or somebody
        went to another version: a class that waits alone for the first one hears of it here only.
        """
        present = time.monotonic()
        if self._runner is not None or present - self._late_looked < self.settings.updater.lease_seconds:
            return
        self._late_looked = present
        if self.records.has_next(self._latest):
            self._restore()
        elif (pointer := self.versions.current()) is not None and pointer.version != self._known:
            self._know_classes()

    def _nothing_left(self) -> bool:
        """Whether no update is under way, nothing was asked for, and time alone makes no folder ready."""
        if self._runner is not None or self.edits.pending() or self.records.unfinished() is not None:
            return False
        if any(state.state in {"ready", "settling"} for state in self._watcher.look()):
            return False
        return self._refinement.find(at_once=True) is None

    def _wait_ready(self) -> bool:
        """Wait a moment for a drop to be ready; while one settles, the learning child gets ready too."""
        arriving = self._watcher.arriving.wait(IDLE_SECONDS)
        if not arriving and not self._frozen:
            self._child.end()
            return False
        self._child.warm()  # where only the head is learnt, a start would take longer than the work: it stays
        if not arriving:
            return False
        return self._watcher.ready.wait(IDLE_SECONDS)

    def _stand_by(self, error: LeaseLostError) -> None:
        """Leave the running update to the updater that has taken over."""
        logger.warning("standing by: %s", error)
        self._forget()

    def _forget(self) -> None:
        """What was going on here: the store says how it goes on."""
        self._runner = None
        self._started = False
        self._second_look.forget()
        self._watcher.set_learning(frozenset())
        self.metrics.phase_ended()
        self.status.set_phase(None)

    def _restore(self) -> None:
        """What earlier processes left: the known classes, the folders set aside, an update in the middle."""
        self._services.versions.begin_epoch()  # before anything else: a predecessor that sleeps moves nothing any more
        self._watcher.set_failed(self.records.failed())
        self._know_classes()
        self._second_look.restore()
        self._latest = latest = self.records.latest()
        done = self.records.done(latest) if latest is not None else None
        if latest is not None and done is not None:
            ended = self.records.intent(latest)
            self._show_last(latest, ended, done)
            self.edits.settle(ended, done)
        intent = self.records.unfinished()
        self._watcher.set_learning(frozenset())
        self._watcher.look()
        self._started = True
        if intent is not None:
            logger.warning("update %s was cut short: going on with it", intent.id)
            self._take_up(intent)
        else:
            self._tell_blocked()

    def _tell_blocked(self) -> None:
        """Settings that do not fit what is served are told at once, not only when something is dropped."""
        served = served_manifest(self._services)
        try:
            way = find_way(self.settings.learning, self.records, served)
        except BlockedError as error:
            self._report(error)
        else:
            if served is not None and (unused := unused_weights(way.config, served)) is not None:
                logger.warning("%s", unused)

    def _show_last(self, latest: str, intent: Intent | None, done: Done) -> None:
        """The page shows how the last update ended, an earlier process's or another updater's, and what it rejected."""
        if (self.status.snapshot()["last_update"] or {}).get("id") == latest:
            return
        operation = intent.edit.operation if intent is not None and intent.edit is not None else None
        refined = isinstance(operation, Relearn) and operation.refine
        self.status.set_last_update(done.model_dump(mode="json", exclude={"left", "format"}) | {"refined": refined})
        plan = self.records.plan(latest)
        for entry in plan.of_role("rejected")[-REJECTED_KEPT:] if plan is not None else ():
            self.status.add_rejected(entry.key, entry.class_name, entry.reason or "", latest)

    def _begin(self) -> Intent | None:
        """Take up what is ready now, after a fresh look. Raises ``BlockedError`` before anything is written."""
        self._know_classes()
        ready = [state.folder for state in self._watcher.look() if state.state == "ready"]
        if not ready:
            return None
        served = served_manifest(self._services)
        find_way(self.settings.learning, self.records, served)
        chosen = select(ready, self.settings.updater.max_images_per_update, first=served is None)
        return self._open(chosen) if chosen else None

    def _asked(self, request: EditRequest | None) -> Intent | None:
        """Take up what a person, or the updater itself, has asked for, if anything."""
        return self._open({}, request) if request is not None else None

    def _open(self, folders: dict[str, FolderIntent], request: EditRequest | None = None) -> Intent:
        self._started = False  # when this fails it may be there all the same: the store is asked before the next try
        try:
            intent = self.records.begin(folders, request)
        except PreconditionFailedError as error:
            raise BlockedError(
                f"another updater works on {self.objects.url} ({error}): run one updater per store"
            ) from error
        self._started = True
        return intent

    def _take_up(self, intent: Intent) -> None:
        self._watcher.set_learning(frozenset(intent.folders))
        update = Update(self._services, intent)
        if update.refines:
            urgent = self._refinement.urgency(update)
            update.services = replace(self._services, child=self._refiner, urgent=urgent)
        steps = self._steps if intent.edit is None else RELEARN_STEPS if update.relearn is not None else EDIT_STEPS
        self._runner = (update, Runner(update, steps))

    def _continue(self) -> None:
        """Run the update to its end."""
        if self._runner is None:
            return
        update, runner = self._runner
        try:
            if (earlier := self.edits.done_by(update.intent)) is not None:
                runner.give_way(f"update {earlier} has done the same request")
            else:
                runner.run()
        except BlockedError as error:
            if update.intent.edit is not None or update.find_plan() is not None or not self.edits.pending():
                raise
            # Nothing of it was moved yet, and what a person asks for may be what ends the blockade.
            runner.give_way(f"a request goes first, for the drop cannot be learnt yet: {error}")
        finally:
            if not self._frozen:
                self._child.end()  # where there was nothing to learn, or not to the end
        self._started = False  # what it left is read from the store, as after a start
        self._runner = None
        if (plan := update.find_plan()) is not None:
            self._second_look.watch(plan)
        self.metrics.phase_ended()
        self.status.set_phase(None)
        self._prune()
        self.view.refresh()

    def _prune(self) -> None:
        """What the policy lets go. A failure costs nothing but space, and is made good after the next update."""
        try:
            self._retention.run()
        except StoreError as error:
            self._report(error)

    def _know_classes(self) -> None:
        pointer = self.versions.current()
        try:
            served = self.versions.manifest(pointer.version) if pointer is not None else None
        except VersionNotFoundError as error:
            raise BlockedError(
                f"{POINTER} names a version that is not there ({error}): choose another one with lucir rollback "
                f"VERSION; where there is none, remove {POINTER}"
            ) from error
        self._known = pointer.version if pointer is not None else None
        self._frozen = self._services.config.frozen if served is None else bool(served.config.get("frozen"))
        classes = frozenset(served.classes if served is not None else ())
        self._watcher.set_known(classes, frozen=self._frozen)

    def _report(self, error: Exception) -> None:
        """Show a failure. What is to be waited out is told in a line; what should not happen, with its traceback."""
        if isinstance(error, StoreError):
            if not isinstance(error, BlockedError):
                self.metrics.store_errors.inc()
            self.status.add_error("blocked" if isinstance(error, BlockedError) else "store", str(error))
            logger.warning("%s", error)
        elif isinstance(error, (MachineError, OSError)):
            told = str(explain(error, f"write in {self.settings.data}")) if is_full(error) else str(error)
            self.status.add_error("machine", told)
            logger.warning("this machine cannot go on for now: %s", told)
        elif isinstance(error, LearningError):
            self.status.add_error("learning", str(error))
            logger.error("%s", error)
        else:
            self.status.add_error("update", f"{type(error).__name__}: {error}")
            logger.error("an update failed: %s", error, exc_info=error)

    def _pause(self, seconds: float, *, blocked: bool) -> None:
        """Wait, alive to a stop and, where a person has to change something, to a request."""
        waited = 0.0
        while waited < seconds and not self.stopping.wait(IDLE_SECONDS):
            self.status.beat("main")
            waited += IDLE_SECONDS
            if blocked and self.edits.rings():
                return
