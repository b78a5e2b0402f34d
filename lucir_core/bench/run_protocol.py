"""Carry out a run: phase after phase, measured with both readouts, in one go or in as many pieces as it takes."""

import dataclasses
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lucir_core.bench.datasets.dataset import Dataset, choose
from lucir_core.bench.environment import environment
from lucir_core.bench.phase_accuracy import measure
from lucir_core.bench.result_file import FORMAT, read_result, run_result, write_json
from lucir_core.bench.shared_start import SharedStarts
from lucir_core.bench.spec import RunSpec
from lucir_core.bench.work import Work, require_same
from lucir_core.data.phase_data import PhaseData
from lucir_core.errors import StateError
from lucir_core.methods import create_method
from lucir_core.phase import Progress, run_phase
from lucir_core.runtime.acceleration import AUTO, Acceleration
from lucir_core.runtime.distributed import world
from lucir_core.state import LearnerState

logger = logging.getLogger(__name__)

WAIT_SECONDS = 0.2
"""Between two looks whether another run has learnt a phase 0 that this one shares."""


class TimeLimitReachedError(Exception):
    """The time is over; everything done so far is kept, and the same call continues from there."""


class Clock:
    """A limit of seconds, from now on, over any number of runs; without one it never stops."""

    def __init__(self, limit: float | None = None) -> None:
        self._end = None if limit is None else time.monotonic() + limit
        self._last = time.monotonic()

    def check(self) -> None:
        """Raise TimeLimitReachedError where another step as long as the one since the last check would end too late.

        Of several processes the first one decides for all; every one must call this equally often.
        """
        now = time.monotonic()
        step, self._last = now - self._last, now
        if self._end is not None and world().broadcast(now + step > self._end):
            raise TimeLimitReachedError

    def pause(self) -> None:
        """Between two runs: as `check`, with one second as the least length of what comes."""
        self._last = min(self._last, time.monotonic() - 1.0)
        self.check()

    def restart(self) -> None:
        """Begin a step here: what was before does not count as its length."""
        self._last = time.monotonic()


@dataclass(frozen=True)
class RunProgress:
    """How far a run is, after an epoch or a phase."""

    name: str
    phase: int
    phases: int
    ratio: float
    """Share of the phase, 0 to 1; 1 when it is measured."""
    training: Progress | None = None
    accuracy: float | None = None
    """Of the classifier over all classes seen, once the phase is measured."""


def result_path(spec: RunSpec, output: Path) -> Path:
    """Where the run's result is once it is finished."""
    return output / f"{spec.name}.json"


def run_benchmark(
    spec: RunSpec,
    dataset: Dataset,
    output: Path,
    *,
    device: str = "cpu",
    report: Callable[[RunProgress], None] = lambda _: None,
    clock: Clock | None = None,
    commit: str | None = None,
    keep_states: bool = False,
    acceleration: Acceleration = AUTO,
    starts: SharedStarts | None = None,
) -> Path:
    """Carry out a run, or what is left of it, and return the path of its result.

    After a kill at any moment the same call continues; on a CPU with the same number of threads the weights are those
    of an uninterrupted run. A finished run returns at once. keep_states: keep the last model beside the result. starts:
    take phase 0 from another run that begins alike, and say so in the result (`shared` of phase 0, whose `seconds` are
    then those that this run spent); in one process only.

    Raises TimeLimitReachedError when `clock` says so; ConfigError, DataError and StateError where things do not fit
    together, and what a phase raises. In every case what was done stays.

    Inside `lucir_core.runtime.distributed.processes` every process makes the same call on the same disk; the first one
    writes.
    """
    path, folder = result_path(spec, output), output / "work" / spec.name
    dataset.check(spec.protocol.seen(len(spec.protocol.phase_sizes) - 1))
    identity = {**spec.identity(), "data": dataset.digest()}
    if path.is_file():
        result = read_result(path)
        require_same({key: result.get(key) for key in identity}, identity, path)
        return path
    work = Work(folder, identity, environment(device, commit))
    try:
        _Run(spec, dataset, work, device, acceleration, starts, report, clock or Clock()).learn_all()
        if world().is_main_process:
            classes = [dataset.classes[label] for label in spec.protocol.seen(len(spec.protocol.phase_sizes) - 1)]
            write_json(path, run_result({**identity, **spec.notes(), "classes": classes}, work.phases, work.pieces))
            logger.info("run finished", extra={"run": spec.name, "format": FORMAT})
            if not keep_states:
                _tidy(folder)
    except TimeLimitReachedError:
        work.note_time()
        raise
    finally:
        work.close()
    world().wait()
    return path


def _tidy(folder: Path) -> None:
    shutil.rmtree(folder)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()


@dataclass(frozen=True)
class _Run:
    """A run under way: what is learnt, and with what."""

    spec: RunSpec
    dataset: Dataset
    work: Work
    device: str
    acceleration: Acceleration
    starts: SharedStarts | None
    """Beginnings that the run may share with others."""
    report: Callable[[RunProgress], None]
    clock: Clock

    def learn_all(self) -> None:
        """Learn and measure every phase that is not done yet."""
        work, total = self.work, len(self.spec.protocol.phase_sizes)
        done = len(work.phases)
        state = work.state(done - 1) if 0 < done < total else None
        if state is None and 0 < done < total:
            raise StateError(f"{work.folder} has lost the state of phase {done - 1}: remove the folder to begin again")
        for phase in range(done, total):
            self.clock.restart()
            previous, state = state, work.state(phase)
            if state is None:
                shared = self.starts if phase == 0 and world().size == 1 else None
                state = self._learn(previous, phase) if shared is None else self._first_phase(shared)
                work.keep(state)
            record = self._measured(state)
            if phase == 0 and self.starts is not None and (learner := self.starts.learner(self.spec)) is not None:
                record["shared"] = learner
            # What the first process tidies away now, the others have read.
            world().wait()
            work.finish_phase(record)
            self.report(RunProgress(self.spec.name, phase, total, 1.0, accuracy=record["cnn"]["all"]))
            if phase + 1 < total:
                self.clock.check()

    def _first_phase(self, starts: SharedStarts) -> LearnerState:
        """Phase 0, by this run or by another one that begins alike."""

        def wait() -> None:
            time.sleep(WAIT_SECONDS)
            self.work.leave_out()
            self.clock.check()

        with starts.turn(self.spec, wait) as state:
            if state is None:
                self.clock.restart()
                started = time.monotonic()
                state = self._learn(None, 0)
                starts.keep(self.spec, state, time.monotonic() - started, self.work.flops)
                state = dataclasses.replace(state, config=self.spec.config)
        return state

    def _learn(self, previous: LearnerState | None, phase: int) -> LearnerState:
        spec, protocol = self.spec, self.spec.protocol
        seen = protocol.seen(phase)
        wanted = seen if create_method(spec.method).needs_every_image else protocol.arriving(phase)
        images, labels = choose(self.dataset.train, seen, wanted, self.work.scratch, protocol.images_per_class)
        data = PhaseData(images, labels, tuple(self.dataset.classes[label] for label in seen))
        shared = self.starts if phase == 0 else None

        def after_epoch(progress: Progress) -> None:
            self.work.tick(progress)
            self.report(RunProgress(spec.name, phase, len(protocol.phase_sizes), progress.ratio, training=progress))
            # After the last epoch the phase is completed in any case: what is left of it is short.
            if progress.ratio < 1.0:
                self.clock.check()

        return run_phase(
            spec.config if shared is None else shared.config(spec),
            data,
            previous,
            device=self.device,
            seed=spec.seed,
            report=after_epoch,
            resume=(shared and shared.resume_file(spec)) or self.work.resume_file,
            acceleration=self.acceleration,
            counts_flops=True,
        )

    def _measured(self, state: LearnerState) -> dict[str, Any]:
        seen = self.spec.protocol.seen(state.phase)
        images, labels = choose(self.dataset.test, seen, seen, self.work.test_scratch)
        record = measure(state, images, labels, self.work.phases, self.device)
        del images
        self.work.test_scratch.unlink(missing_ok=True)
        return record
