"""The runs behind ``lucir bench suite``: one after the other, or side by side in processes of their own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from handlers.cli.bench.bench_progress import TimeLeft
from handlers.cli.bench.bench_run import (
    UNFINISHED,
    Carrying,
    RunsFailedError,
    carry_out,
    choose_device,
    known_errors,
    render,
)
from handlers.cli.bench.own_module import import_own
from handlers.cli.bench.shared_gpu import shared_gpu
from handlers.cli.errors import USAGE, CommandError
from handlers.parallel import usable_cores
from handlers.setting_values import assignments
from lucir_core.bench.datasets.cifar import load_cifar
from lucir_core.bench.datasets.dataset import carved
from lucir_core.bench.run_protocol import Clock, result_path
from lucir_core.bench.shared_start import SharedStarts
from lucir_core.bench.spec import RunSpec
from lucir_core.bench.suite import load_suite
from lucir_core.bench.worth import by_worth
from lucir_core.registry import nearest_names
from lucir_core.runtime.distributed import processes, world


@dataclass(frozen=True)
class Choice:
    """Which runs of the suite, and how many at once."""

    jobs: int = 1
    run: str | None = None
    """The name of the only one."""
    module: str = ""
    """Imported first, with methods of one's own."""


def run_suite(name: str, data: Path, texts: Sequence[str], how: Carrying, choice: Choice) -> None:
    """``lucir bench suite``. Raises ``CommandError``."""
    clock = Clock(how.time_limit)
    import_own(choice.module)
    trouble: CommandError | None = None
    with known_errors(), processes(choose_device(how.device)) as device:
        suite = load_suite(name)
        dataset = load_cifar(suite.dataset, data)
        if suite.validation is not None:
            dataset = carved(dataset, suite.validation)
        specs = suite.specs(len(dataset.classes), assignments(texts), choice.module)
        names = [spec.name for spec in specs]
        if choice.run is not None and choice.run not in names:
            raise CommandError(f"--run {choice.run}: {nearest_names(choice.run, names)}", USAGE)
        starts = SharedStarts(how.output / "work" / "starts", specs, dataset)
        specs = by_worth(specs, how.output)
        try:
            if choice.jobs == 1 or choice.run is not None:
                chosen = [spec for spec in specs if choice.run in (None, spec.name)]
                carry_out(chosen, dataset, how, clock, device, starts)
            elif world().size > 1:
                raise CommandError("--jobs is for one process: leave it out under torchrun", USAGE)
            else:
                with shared_gpu(device):
                    run_side_by_side(specs, how, _words(name, data, texts, how, choice.module), choice.jobs)
        except RunsFailedError as error:
            trouble = error  # the page shows the others
        leads = world().is_main_process
    if leads and choice.run is None:
        starts.tidy([spec for spec in specs if not result_path(spec, how.output).is_file()])
        render(how.output, None)
    if trouble is not None:
        raise trouble


def _words(name: str, data: Path, texts: Sequence[str], how: Carrying, module: str) -> list[str]:
    """The command line again."""
    words = ["bench", "suite", name, "--data", str(data), "--output", str(how.output), "--device", how.device]
    words += ["--acceleration", how.acceleration]
    words += ["--import", module] if module else []
    words += [word for text in texts for word in ("--set", text)]
    words += ["--commit", how.commit] if how.commit is not None else []
    return words + (["--keep-states"] if how.keep_states else [])


def run_side_by_side(specs: Sequence[RunSpec], how: Carrying, command: Sequence[str], jobs: int) -> None:
    """Carry out ``lucir *command --run NAME`` for each run, at most ``jobs`` at once.

    What a run prints is shown when it ends. Raises ``RunsFailedError`` with the last line of each run that failed, when
    all have ended; ``CommandError`` with ``UNFINISHED`` when the time limit came first.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that the runs are ended, too
    end = None if how.time_limit is None else time.monotonic() + how.time_limit
    left = TimeLeft(specs, how.output)
    workers = _Workers([sys.executable, "-m", "handlers.cli.main", *command], threads_each(jobs), end)
    console = Console()
    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    failed: dict[str, CommandError] = {}
    unfinished: CommandError | None = None
    with Progress(*columns, console=console) as bar, ThreadPoolExecutor(jobs) as pool:
        task = bar.add_task("", total=len(specs))
        futures = {pool.submit(workers.run, spec.name): spec.name for spec in specs}
        try:
            for future in as_completed(futures):
                status, text = future.result()
                if status == 0:
                    console.print(text, highlight=False, markup=False)
                    console.print(left.line(), highlight=False)
                    bar.advance(task)
                    continue
                name, reason = futures[future], text.splitlines()[-1].removeprefix("lucir: ")
                if status == UNFINISHED:
                    unfinished = CommandError(f"{name}: {reason}", status)
                else:
                    failed[name] = CommandError(reason, status)
                    console.print(f"{name} failed: {reason}", highlight=False, markup=False)
        except BaseException:
            workers.stop()
            raise
    if failed:
        raise RunsFailedError(failed)
    if unfinished is not None:
        raise unfinished


def threads_each(jobs: int) -> int:
    """Threads of one of so many processes."""
    return max(1, usable_cores() // jobs)


class _Workers:
    """Starts the processes and can end them all."""

    def __init__(self, command: list[str], threads: int, end: float | None) -> None:
        self._command = command
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self._end = end
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopping = False

    def run(self, name: str) -> tuple[int, str]:
        """Its exit status and what it wrote."""
        words = [*self._command, "--run", name]
        if self._end is not None:
            left = self._end - time.monotonic()
            if left < 1:
                return UNFINISHED, "the time limit came first; run the same command again to continue"
            words += ["--time-limit", f"{left:.1f}"]
        with self._lock:
            if self._stopping:
                return UNFINISHED, "interrupted"
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=self._environment,
                encoding="utf-8",
            )
            self._running.add(process)
        text, _ = process.communicate()
        with self._lock:
            self._running.discard(process)
        return process.returncode, text.strip() or f"ended with status {process.returncode} without a word"

    def stop(self) -> None:
        """End all processes; what they did is kept, as after any kill."""
        with self._lock:
            self._stopping = True
            for process in self._running:
                process.terminate()
