"""What a person sees of a run: a bar for each phase, and a table at the end."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from handlers.cli.output.text import plain
from lucir_core.bench.run_protocol import RunProgress


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


def show_result(console: Console, result: Mapping[str, Any]) -> None:
    """The curve of a finished run, both readouts."""
    name = f"{result['label']}, {result['protocol']['name']}, seed {result['seed']}"
    table = Table("readout", *(str(phase["classes"]) for phase in result["phases"]), "average", "last", box=None)
    for readout in ("cnn", "nme"):
        values = (*result[readout]["curve"], result[readout]["average"], result[readout]["last"])
        table.add_row(readout.upper(), *(f"{value:.2%}" for value in values))
    console.print(plain(name, "bold"))
    console.print(table)
