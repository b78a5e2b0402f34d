"""The runs behind ``lucir bench``: data set, list of runs, progress, exit status."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from handlers.cli.bench.bench_progress import ProgressLines, TimeLeft, show_result
from handlers.cli.bench.own_module import import_own
from handlers.cli.errors import FAILED, USAGE, CommandError
from handlers.setting_values import assignments
from lucir_core.bench.class_order import parse_order
from lucir_core.bench.datasets.cifar import load_cifar
from lucir_core.bench.datasets.dataset import Dataset, carved
from lucir_core.bench.datasets.image_folders import FolderOptions, load_folder
from lucir_core.bench.pages.results_page import write_report
from lucir_core.bench.protocol import make_protocol
from lucir_core.bench.result_file import read_json
from lucir_core.bench.run_protocol import Clock, TimeLimitReachedError, result_path, run_benchmark
from lucir_core.bench.shared_start import SharedStarts
from lucir_core.bench.spec import RunSpec, own_preset
from lucir_core.config.phase_config import load_preset
from lucir_core.errors import ConfigError, LearningError
from lucir_core.runtime.acceleration import Acceleration
from lucir_core.runtime.distributed import processes, world

logger = logging.getLogger(__name__)

UNFINISHED = 75
"""Exit status when the time limit came first (EX_TEMPFAIL): the same command continues."""


class RunsFailedError(CommandError):
    """Some of several runs failed, and the others were carried out."""

    def __init__(self, failed: Mapping[str, CommandError]) -> None:
        """failed: by the run's name; the exit status is that of the first one."""
        reasons = "; ".join(f"{name} failed: {error}" for name, error in failed.items())
        status = next(iter(failed.values())).status
        super().__init__(f"{reasons}; the same command tries again what is not done", status)


@dataclass(frozen=True)
class Request:
    """The command line of one protocol."""

    protocol: str
    phases: int
    sizes: str | None
    method: str
    preset: str
    seeds: int
    first_seed: int
    order: str
    images_per_class: int | None
    validation: int | None
    label: str
    studies: tuple[str, ...]
    assignments: tuple[str, ...]
    module: str
    """With a method of one's own."""

    def specs(self, dataset: str, class_count: int, source: "FolderSource | None" = None) -> list[RunSpec]:
        """One run per seed. Raises ``ConfigError``."""
        found = []
        reading = {} if source is None else source.reading
        for seed in range(self.first_seed, self.first_seed + self.seeds):
            protocol = make_protocol(
                self.protocol,
                self.phases,
                parse_order(self.order, class_count, seed),
                sizes=_sizes(self.sizes),
                images_per_class=self.images_per_class,
            )
            found.append(
                RunSpec(
                    dataset=dataset,
                    protocol=protocol,
                    method=self.method,
                    preset=self.preset,
                    settings=assignments(self.assignments),
                    seed=seed,
                    label=self.label,
                    studies=self.studies,
                    module=self.module,
                    reading=reading,
                )
            )
        return found


@dataclass(frozen=True)
class FolderSource:
    """How a folder of images is read."""

    cache: Path
    test_every: int
    subset: int | None

    @property
    def reading(self) -> dict[str, int | None]:
        """What of it decides which images are learnt."""
        return {"test_every": self.test_every, "subset": self.subset}


@dataclass(frozen=True)
class Carrying:
    """How runs are carried out."""

    output: Path
    device: str
    time_limit: float | None
    commit: str | None
    keep_states: bool
    acceleration: str = "auto"


def method_and_preset(method: str | None, preset: str | None, base: str) -> tuple[str, str]:
    """What a command runs: a preset brings its method, a method its preset. Raises ``CommandError``.

    base: the preset of the data set.
    """
    with known_errors():
        chosen = method or load_preset(preset or base).method
        return chosen, preset or own_preset(base, chosen)


def run_protocol(name: str, data: Path, request: Request, how: Carrying, source: FolderSource | None = None) -> None:
    """``lucir bench cifar100`` and its like. Raises ``CommandError``."""
    clock = Clock(how.time_limit)
    import_own(request.module)
    with known_errors(), processes(choose_device(how.device)) as device:
        # Images are decoded before the protocol is known, which needs their classes and sets no size.
        settings = {**assignments(request.assignments), "method": request.method}
        resize = load_preset(request.preset, settings).resize
        dataset = _first_in_turn(lambda: _dataset(name, data, resize, source))
        if request.validation is not None:
            dataset = carved(dataset, request.validation)
        carry_out(request.specs(dataset.name, len(dataset.classes), source), dataset, how, clock, device)


def render(results: Path, output: Path | None) -> None:
    """``lucir bench report``. Raises ``CommandError``."""
    with known_errors():
        Console().print(f"written: {write_report(results, output)}", highlight=False)


def _first_in_turn(load: Callable[[], Dataset]) -> Dataset:
    """Of several processes the first one loads alone: it may be filling a cache that the others read."""
    if not world().is_main_process:
        world().wait()
    dataset = load()
    if world().is_main_process:
        world().wait()
    return dataset


def carry_out(
    specs: Sequence[RunSpec],
    dataset: Dataset,
    how: Carrying,
    clock: Clock,
    device: str,
    starts: SharedStarts | None = None,
) -> None:
    """Run after run, with progress and a table each; one that fails does not end the others.

    Raises ``CommandError`` when the time limit came first, and ``RunsFailedError`` after the last run where one failed.
    """
    console = Console(quiet=not world().is_main_process)
    acceleration = Acceleration.parse(how.acceleration)
    left = TimeLeft(specs, how.output)
    failed: dict[str, CommandError] = {}
    try:
        for number, spec in enumerate(specs, 1):
            try:
                _carry_on(spec, dataset, how, clock, device, starts, acceleration, console)
            except TimeLimitReachedError:
                raise
            except Exception as error:
                if len(specs) == 1 or world().size > 1:  # processes that work together end together
                    raise
                failed[spec.name] = _failure(error)
                console.print(f"{spec.name} failed: {failed[spec.name]}", highlight=False, markup=False)
            if len(specs) > 1:
                console.print(left.line(), highlight=False)
            if number < len(specs) and _open_runs(specs, how):
                clock.pause()
    except TimeLimitReachedError:
        raise _out_of_time(specs, how, len(failed)) from None
    if failed:
        raise RunsFailedError(failed)


def _carry_on(
    spec: RunSpec,
    dataset: Dataset,
    how: Carrying,
    clock: Clock,
    device: str,
    starts: SharedStarts | None,
    acceleration: Acceleration,
    console: Console,
) -> None:
    """One run, with its progress and its table."""
    with known_errors(), ProgressLines(console, spec.name) as lines:
        path = run_benchmark(
            spec,
            dataset,
            how.output,
            device=device,
            report=lines.show,
            clock=clock,
            commit=how.commit,
            keep_states=how.keep_states,
            acceleration=acceleration,
            starts=starts,
        )
    show_result(console, read_json(path))


def _open_runs(specs: Sequence[RunSpec], how: Carrying) -> int:
    return sum(not result_path(spec, how.output).is_file() for spec in specs)


def _out_of_time(specs: Sequence[RunSpec], how: Carrying, failed: int) -> CommandError:
    return CommandError(
        f"the time limit of {how.time_limit:g} s came first, {_open_runs(specs, how)} of {len(specs)} runs are left"
        f"{f', of which {failed} failed' if failed else ''}; run the same command again to continue",
        UNFINISHED,
    )


def _failure(error: Exception) -> CommandError:
    """What is said of a run that failed; a bug, such as one of a method of one's own, has its traceback in the log."""
    if isinstance(error, CommandError):
        return error
    logger.error("a run failed", exc_info=error)
    return CommandError(f"{type(error).__name__}: {error}", FAILED)


def _dataset(name: str, data: Path, resize: int, source: FolderSource | None) -> Dataset:
    if source is None:
        return load_cifar(name, data)
    options = FolderOptions(resize, source.test_every, source.subset)
    return load_folder(data.absolute().name, data, source.cache, options)


def choose_device(name: str) -> str:
    """What ``--device`` means here. Raises ``CommandError``."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError:
        raise CommandError(f"--device {name}: choose auto, cpu or cuda", USAGE) from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise CommandError(f"--device {name}: PyTorch finds no GPU here; choose cpu", USAGE)
    return name


def _sizes(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise CommandError(f"--sizes {text}: write whole numbers, for example 50,20,20,10", USAGE)
    return tuple(int(part) for part in parts)


@contextmanager
def known_errors() -> Iterator[None]:
    """Errors of the library as one line; what was done stays, and the same command continues it."""
    try:
        yield
    except ConfigError as error:
        raise CommandError(str(error), USAGE) from error
    except LearningError as error:
        raise CommandError(str(error), FAILED) from error
    except torch.OutOfMemoryError as error:
        raise CommandError(
            "the GPU's memory is too small for this; free some, or make batches smaller with --set batch_size=64 "
            "(another result). What was done is kept",
            FAILED,
        ) from error
