"""From the pointer in the store to the version that answers, one small step at a time.

Nothing here is a script that could be cut short: each step asks the store what should be served and TorchServe what
is, and does the next thing that is missing. First start, swap, rollback, a restarted TorchServe, a half-registered
version and a follower replica are the same case.
"""

import logging
import time
from collections.abc import Callable
from typing import Final, Self

from handlers.inference.sessions.copy_choice import Choice, read_choice
from handlers.settings import Settings
from handlers.sockets import management_socket
from handlers.torchserve.attempts import Attempts
from handlers.torchserve.canary import FILE as CANARY
from handlers.torchserve.canary import check_canary
from handlers.torchserve.folders import (
    NOTHING_LEARNT,
    folder_name,
    prepare_nothing_learnt,
    prepare_version_folder,
)
from handlers.torchserve.in_place.exchange import CannotLoadError, Exchange, Progress
from handlers.torchserve.in_place.fallback import answering_version, fall_back
from handlers.torchserve.inference_port import LateError, Probe, ProbeError
from handlers.torchserve.management import (
    ManagementClient,
    ManagementError,
    ManagementUnavailableError,
    RegisteredVersion,
)
from handlers.torchserve.outcome import Phase, ServingState, SwapResult
from handlers.torchserve.pointer import KnownPointer
from handlers.torchserve.retire import GRACE_SECONDS, Retirement, remove_folders
from model_store.layout import HEAD, MODEL, QUANTISED
from model_store.local_files import is_full
from model_store.mirror import mirror
from model_store.objects import StoreError, StoreUnavailableError
from model_store.versions import VersionStore

logger = logging.getLogger(__name__)

__all__ = ["Phase", "Reconciler", "ServingState", "SwapResult"]

Registered = dict[int, RegisteredVersion]

MIRRORED: Final = (MODEL, QUANTISED, HEAD, CANARY)
"""Files of a version that a server needs."""
CHECK_SECONDS: Final = 2.0
CHECK_SECONDS_GPU: Final = 10.0
"""How often a quiet TorchServe is asked; on a GPU it runs nvidia-smi for each description, on a network thread."""


class Reconciler:
    """Use it from one thread. ``on_swap`` is told of every version that took over or failed to.

    The store is asked for its pointer at most every ``pointer_seconds``; 0: at each step.
    """

    def __init__(
        self,
        settings: Settings,
        versions: VersionStore,
        *,
        on_swap: Callable[[SwapResult], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        pointer_seconds: float = 0.0,
    ) -> None:
        self._settings = settings
        self._versions = versions
        self._on_swap = on_swap
        self._clock = clock
        self._management = ManagementClient(management_socket(settings))
        self._probe = Probe(settings)
        self._exchange = Exchange(settings)
        self._attempts = Attempts(clock)
        self._retirement = Retirement(
            self._management,
            self._probe,
            settings.serving.response_timeout_seconds,
            clock,
            GRACE_SECONDS if settings.serving.engine == "torchserve" else 0.0,
        )
        self._known = KnownPointer(versions, settings.run_folder / "pointer.json", pointer_seconds, clock)
        self._served: int | None = None
        self._announced: int | None = None  # the last version that was confirmed to be served
        self._replaced: tuple[int, int] | None = None  # took over and is not confirmed yet; what answered before
        self._wanted: int | None = None
        self._wanted_since = 0.0
        self._warmed: dict[int, frozenset[int | None]] = {}  # process ids of the workers that gave the right answer
        self._tidied = False  # whether copies that nobody needs any more have been removed
        self._on_gpu = False
        self._checked = 0.0
        self._state = ServingState(None, None, "starting")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; what is served stays served."""
        self._exchange.close()
        self._management.close()
        self._probe.close()

    @property
    def state(self) -> ServingState:
        """What the last step found."""
        return self._state

    def step(self) -> ServingState:
        """Do the next missing thing. Returns within seconds; nothing that waiting could heal is raised."""
        trouble = self._known.refresh()
        if not self._known.known:
            return self._leave(None, "starting", trouble, stale=True)
        wanted = self._known.pointer.version if self._known.pointer else NOTHING_LEARNT
        if wanted != self._wanted:
            self._wanted, self._wanted_since = wanted, self._clock()
            self._attempts.forget()
        elif not self._due(wanted):
            state = self._state
            # What was said of the store ends with its trouble; what was said of a version, at the next full look.
            message = trouble or ("" if state.stale else state.message)
            return self._leave(wanted, state.phase, message, stale=bool(trouble))
        self._checked = self._clock()
        try:
            phase, message = self._advance(wanted)
        except ManagementUnavailableError as error:
            self._served = None
            self._warmed.clear()
            phase, message = "unreachable", str(error)
        except ManagementError as error:
            phase, message = "starting", str(error)
        return self._leave(wanted, phase, message or trouble, stale=bool(trouble))

    def _leave(self, wanted: int | None, phase: Phase, message: str, *, stale: bool) -> ServingState:
        if message and message != self._state.message:
            logger.warning(message, extra={"wanted": wanted, "served": self._served, "phase": phase})
        self._state = ServingState(wanted, self._served, phase, message, stale, self._copy())
        return self._state

    def _copy(self) -> Choice | None:
        """What the engine chose for the served version; read once, when the version is first seen to be served."""
        if not self._served or self._settings.serving.copies == "off":
            return None
        if self._state.served == self._served and self._state.copy is not None:
            return self._state.copy
        return read_choice(self._settings.models_folder / folder_name(self._served))

    def _due(self, wanted: int) -> bool:
        if self._state.busy or self._state.served != wanted:
            return True
        return self._clock() - self._checked >= (CHECK_SECONDS_GPU if self._on_gpu else CHECK_SECONDS)

    def _advance(self, wanted: int) -> tuple[Phase, str]:
        registered = self._management.versions()
        self._on_gpu = any(worker.gpu for version in registered.values() for worker in version.workers)
        target = self._choose(wanted, registered)
        if target is None:
            return "failed", self._attempts.message(wanted)
        try:
            answering = self._bring_up(target, registered)
        except (_VersionError, StoreError, OSError) as error:
            # A full disk counts: another version may be there, and whoever goes back to it is to be told.
            if isinstance(error, StoreUnavailableError) and not is_full(error.__cause__):
                self._attempts.postpone(target)
                return "failed", str(error)
            if isinstance(error.__cause__, ProbeError) and self._may_answer_yet(target, error.__cause__, registered):
                return "starting", f"version {target} is asked again: {error}"
            self._fail(target, str(error))
            return "failed", self._attempts.message(target)
        message = self._attempts.message(wanted)
        if answering is None:
            return "starting", message
        self._announce(target)
        message = message if target != wanted else ""  # whatever it took, it is served
        if self._retirement.step([version for version in registered.values() if version.number != answering.number]):
            return "draining", message
        if len(registered) > 1 or not self._tidied:
            previous = self._known.pointer.previous if self._known.pointer else None
            # TorchServe reads the folder that it has registered whenever it starts a worker.
            remove_folders(self._settings.models_folder, {target, wanted, previous or target, answering.number})
            self._tidied = True
        return "serving" if target == wanted else "failed", message

    def _choose(self, wanted: int, registered: Registered) -> int | None:
        """The wanted version, or while that one is being given a rest, the one that answers, or worked last.

        An engine that has started again lets the first registration answer before it was looked at here.
        """
        previous = self._known.pointer.previous if self._known.pointer else None
        answering = answering_version(registered, self._exchange)
        possible = [each for each in (wanted, answering, self._announced, previous) if each is not None]
        if wanted != NOTHING_LEARNT and answering is not None:
            possible = [each for each in possible if each != NOTHING_LEARNT]
        return next((each for each in possible if self._attempts.may_try(each)), None)

    def _may_answer_yet(self, target: int, why: ProbeError, registered: Registered) -> bool:
        """Whether a version that gave no answer is left where it is for now: where there is none that worked to go back
        to, and the answer was only late, or a worker ended, which may be for want of memory.
        """
        slot = self._holder(target, registered)
        if slot is None or self._announced not in (None, NOTHING_LEARNT, target):
            return False
        if not isinstance(why, LateError) and not self._have_ended(slot):
            return False
        return not self._attempts.overdue(target, frozenset(worker.pid for worker in slot.workers))

    def _bring_up(self, target: int, registered: Registered) -> RegisteredVersion | None:
        """The next step towards ``target`` answering everybody; the registration whose workers do so, when they do.

        Raises ``_VersionError``.
        """
        version = self._holder(target, registered)
        if version is None:
            self._mirror(target)
            slot = next((each for each in registered.values() if each.default), None)
            if slot is not None and self._exchange.possible(slot, target, self._workers):
                state = self._take_over(slot, target)
                if state != "lost":
                    return slot if state == "done" and self._look_again(target, slot) else None
            self._register(target, registered)
            return None
        self._exchange.close()
        return version if self._answers(target, version) else None

    @property
    def _workers(self) -> int:
        return self._settings.serving.workers or 1

    def _holder(self, target: int, registered: Registered) -> RegisteredVersion | None:
        """The registration whose workers have ``target``: its own, or another one in which it has taken over."""
        holders = [each for each in registered.values() if self._exchange.served(each.number) == target]
        return max(holders, key=lambda each: each.default, default=None)

    def _take_over(self, slot: RegisteredVersion, target: int) -> Progress:
        """The next step towards ``target`` in the workers of ``slot``, which answer everybody."""
        before = self._exchange.served(slot.number)
        try:
            state = self._exchange.step(slot, target)
        except (CannotLoadError, ProbeError) as error:
            raise _VersionError(str(error)) from error
        if state == "loading" and (problem := self._attempts.overdue(target)):
            raise _VersionError(f"{problem}; the output of the serving engine says why")
        if state == "done":
            self._replaced = (target, before)
            self._warmed = {target: frozenset(worker.pid for worker in slot.workers)}
        return state

    def _look_again(self, target: int, slot: RegisteredVersion) -> bool:
        """Whether ``target``, which has taken over just now in the workers of ``slot``, answers everybody."""
        try:
            return self._answers(target, slot)
        except _VersionError:
            if not self._have_ended(slot):
                raise
            return False  # a worker has, whatever of: its successor begins with ``target``, and is looked at

    def _have_ended(self, slot: RegisteredVersion) -> bool:
        """Whether workers of ``slot`` have ended since it was looked at, or its registration has."""
        now = self._management.versions().get(slot.number)
        before = {worker.pid for worker in slot.workers}
        return now is None or now.ready_workers < self._workers or before != {worker.pid for worker in now.workers}

    def _register(self, target: int, registered: Registered) -> None:
        """Have TorchServe start workers of its own for ``target``."""
        taken = registered.get(target)
        if taken is not None:  # its workers answer with another version by now, and cannot be asked to change
            if taken.ready_workers:
                if problem := self._attempts.overdue(target):
                    raise _VersionError(f"{problem}: some of its workers do not answer")
                return
            self._management.unregister(target)
        self._exchange.forget(target)
        serving = self._settings.serving
        self._management.register(
            folder_name(target),
            batch_size=serving.batch_size,
            batch_delay_ms=serving.batch_delay_ms,
            response_timeout=serving.response_timeout_seconds,
        )
        self._start_workers(target, target)

    def _start_workers(self, target: int, number: int) -> None:
        self._warmed.pop(target, None)
        self._management.scale(number, self._workers)
        self._attempts.begin(target)

    def _answers(self, target: int, version: RegisteredVersion) -> bool:
        """The next step towards ``target`` answering everybody in the workers of ``version``, which have it."""
        if version.target_workers != self._workers:
            self._start_workers(target, version.number)
            return False
        if version.problem:
            raise _VersionError(version.problem)
        pids = frozenset(worker.pid for worker in version.workers)
        if version.ready_workers < self._workers:
            if version.ready_workers == 0 and self._served == target:
                self._served = None
            if problem := self._attempts.overdue(target, pids):
                raise _VersionError(f"{problem}; the output of the serving engine says why")
            return False
        if self._warmed.get(target) != pids:
            self._ask(target, version.number)
            self._warmed[target] = pids
            self._served = None if self._served == target else self._served
        if not version.default:
            self._management.set_default(version.number)
            self._served = None
        if self._served != target:
            self._ask(target, None)
            self._served = target
        self._attempts.arrived(target)
        return True

    def _ask(self, target: int, address: int | None) -> None:
        """Ask at the address of a registration, where nobody else may ask yet, or (None) at everybody's."""
        try:
            answered = self._probe.ask(address)
            if answered == target and address is not None:
                folder = self._settings.models_folder / folder_name(target)
                check_canary(self._probe, address, folder, self._settings)
        except ProbeError as error:
            raise _VersionError(str(error)) from error
        if answered != target:
            raise _VersionError(f"version {answered} answers in its place")

    def _mirror(self, target: int) -> None:
        if target == NOTHING_LEARNT:
            prepare_nothing_learnt(self._settings)
            return
        folder = self._settings.models_folder / folder_name(target)
        try:
            files = self._versions.manifest(target).files
            names = [name for name in MIRRORED if name in files]
            mirror(self._versions, target, folder, names, prepare=prepare_version_folder)
        except StoreUnavailableError as error:
            # The copy of an earlier start serves as well: its worker checks it against its manifest.
            if not (folder / "MAR-INF").is_dir():
                raise
            logger.warning("version %d is served from its local copy: %s", target, error)

    def _fail(self, target: int, reason: str) -> None:
        """Take a version that does not work out of the way; whatever else answers goes on answering."""
        self._attempts.failed(target, reason)
        self._warmed.pop(target, None)
        if self._served == target:
            self._served = None
        took_over, replaced = self._replaced or (None, None)
        before = replaced if took_over == target else self._announced
        if self._on_swap is not None:
            self._on_swap(SwapResult(target, before, self._elapsed(), "failure", reason))
        self._exchange.close()
        registered = self._management.versions()
        if (holder := self._holder(target, registered)) is not None:
            try:
                fall_back(target, holder, registered, before, self._exchange, self._management)
            except OSError as error:  # the disk is full, or the engine begins anew: the next step looks again
                logger.warning("version %d cannot be taken back yet: %s", target, error)

    def _announce(self, target: int) -> None:
        self._replaced = None
        if self._announced == target:
            return
        self._tidied = False
        logger.info("version %d is served", target, extra={"served": target, "previous": self._announced})
        if self._on_swap is not None and target != NOTHING_LEARNT:
            self._on_swap(SwapResult(target, self._announced, self._elapsed(), "success"))
        self._announced = target

    def _elapsed(self) -> float:
        return self._clock() - self._wanted_since


class _VersionError(RuntimeError):
    """A version does not do what it should; another one may."""
