"""A drop on a terminal: the copying, the progress of its update, and what became of it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from handlers.cli.output.text import plain, write_json
from handlers.client.drop_progress import DropProgress, Outcome
from handlers.client.drop_upload import Upload
from handlers.client.service_client import Drop
from handlers.client.visible import visible

LINE_SECONDS, SHORTEST_SECONDS = 5.0, 1.0
"""Between two lines of progress: at most where nothing new happens, at least where each look tells something else."""
NAMED = 5
"""Files that were left out, in one line."""


def show_copying(copied: Iterable[Upload], total: int, console: Console) -> None:
    """Count the images while they are copied."""
    columns = (
        TextColumn("copying"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images,"),
        TextColumn("{task.fields[name]}", markup=False),
        TimeRemainingColumn(),
    )
    if not console.is_terminal:
        console.print(f"copying {_images(total)}")
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("copy", total=total, name="")
        for one in copied:
            bar.update(task, advance=1, name=one.key.split("/")[1])


def show_progress(steps: Iterable[DropProgress], console: Console) -> Outcome:
    """Show each step, tell once of a provisional version, and give the outcome of the last step.

    A terminal gets a bar, anything else a line whenever something else goes on, and every few seconds.
    """
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    outcome = Outcome()
    told = False
    lines = None if console.is_terminal else ProgressLines(console)
    # Few refreshes: on a small machine this process must not take from what is being learnt.
    with Progress(*columns, console=console, transient=True, refresh_per_second=2, disable=lines is not None) as bar:
        task = bar.add_task("looking", total=1.0)
        for step in steps:
            if step.provisional is not None and not told:
                told = True
                console.print(
                    f"provisional version {step.provisional} answers, {step.seconds:.0f} s after the drop; "
                    "it is being learnt",
                    highlight=False,
                )
            if lines is not None:
                lines.tell(step)
            bar.update(task, description=step.text + time_left(step), completed=step.ratio)
            outcome = step.outcome or outcome
    return outcome


class ProgressLines:
    """Progress where no bar can be drawn: a log, a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: DropProgress | None = None

    def tell(self, step: DropProgress) -> None:
        """A line, unless the last one is fresh and says the same."""
        last = self._last
        if last is not None:
            fresh = step.seconds - last.seconds < LINE_SECONDS
            if fresh and (step.text == last.text or step.seconds - last.seconds < SHORTEST_SECONDS):
                return
        self._last = step
        share = f", {step.ratio:.0%}" if step.ratio and step.outcome is None else ""
        self._console.print(plain(f"{step.seconds:.0f} s: {step.text}{share}{time_left(step)}"), soft_wrap=True)


def time_left(step: DropProgress) -> str:
    """``, about 40 s left``; nothing where it cannot be told."""
    return f", about {step.left:.0f} s left" if step.left else ""


def show_drop(drop: Drop, outcome: Outcome | None, *, as_json: bool) -> None:
    """What was dropped and, where it was followed, what became of it."""
    if as_json:
        document = {
            "classes": {each.name: len(each.images) for each in drop.classes},
            "images": len(drop.uploads),
            "skipped_files": sum(len(each.others) for each in drop.classes) + len(drop.left),
            **({"left_out": {visible(str(one.path)): one.reason for one in drop.left}} if drop.left else {}),
            **({"outcome": outcome.document()} if outcome else {}),
        }
        write_json(document)
        return
    console = Console()
    for each in drop.classes:
        skipped = f" (left out: {_named(each.others)})" if each.others else ""
        console.print(plain(f"dropped {each.name}: {_images(len(each.images))}{skipped}"))
    for one in drop.left[:20]:
        console.print(plain(f"left out {one.path}: {one.reason}", "yellow"))
    if len(drop.left) > 20:
        console.print(f"... and {len(drop.left) - 20} more")
    if outcome is None:
        return
    for key, reason in outcome.rejected[:20]:
        console.print(plain(f"rejected {key.split('/', 3)[-1]}: {reason}", "yellow"))
    if len(outcome.rejected) > 20:
        console.print(f"... and {len(outcome.rejected) - 20} more: see rejected/ in the store")
    if outcome.version is not None and not outcome.failure:
        console.print(f"[green]version {outcome.version} is served[/green], {outcome.seconds:.0f} s after the drop")
        if outcome.note:
            console.print(plain(f"too few images tell what it is worth: {outcome.note}", "yellow"))


def _named(paths: Sequence[Path]) -> str:
    """The first of them by name, of the others how many."""
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(str(path) for path in paths[:NAMED]) + more


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"
