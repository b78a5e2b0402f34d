"""What a person sees of a run: a bar for each phase, and a table at the end."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from handlers.cli.output.text import plain
from lucir_core.bench.run_protocol import RunProgress, result_path
from lucir_core.bench.spec import RunSpec
from lucir_core.bench.worth import work_done


class ProgressLines:
    """A bar per phase while it is open; a context manager."""

    def __init__(self, console: Console, name: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[news]}"))
        self._bars = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)
        self._tasks: dict[int, TaskID] = {}
        self._name = name

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, progress: RunProgress) -> None:
        """Called by the runner."""
        title = f"{self._name} phase {progress.phase}/{progress.phases - 1}"
        if progress.phase not in self._tasks:
            self._tasks[progress.phase] = self._bars.add_task(title, total=1.0, news="")
        news = ""
        if progress.training is not None:
            training = progress.training
            total = training.losses.get("total")
            loss = "" if total is None else f", loss {total:.3f}"
            news = f"{training.stage} {training.epoch}/{training.epochs}{loss}"
        if progress.accuracy is not None:
            news = f"accuracy {progress.accuracy:.2%}"
        self._bars.update(self._tasks[progress.phase], completed=progress.ratio, news=news)


class TimeLeft:
    """How much of several runs is done, and how long the rest takes at the pace since this was made."""

    def __init__(self, specs: Sequence[RunSpec], output: Path) -> None:
        self._specs = specs
        self._output = output
        self._begun = time.monotonic()
        self._done_before, _ = work_done(specs, output)

    def line(self) -> str:
        """One line for a person."""
        done, total = work_done(self._specs, self._output)
        finished = sum(result_path(spec, self._output).is_file() for spec in self._specs)
        text = f"{finished} of {len(self._specs)} runs done, {done / total:.0%} of the work"
        fresh = done - self._done_before
        if done < total and fresh > 0:
            minutes = (time.monotonic() - self._begun) / fresh * (total - done) / 60
            text += f", about {f'{minutes:.0f} min' if minutes < 120 else f'{minutes / 60:.1f} h'} left"
        return text


def show_result(console: Console, result: Mapping[str, Any]) -> None:
    """The curve of a finished run, both readouts."""
    name = f"{result['label']}, {result['protocol']['name']}, seed {result['seed']}"
    table = Table("readout", *(str(phase["classes"]) for phase in result["phases"]), "average", "last", box=None)
    for readout in ("cnn", "nme"):
        values = (*result[readout]["curve"], result[readout]["average"], result[readout]["last"])
        table.add_row(readout.upper(), *(f"{value:.2%}" for value in values))
    if shared := result["phases"][0].get("shared"):
        name += f" (phase 0 as learnt by {shared['run']} in {shared['seconds']:.0f} s)"
    console.print(plain(name, "bold"))
    console.print(table)
