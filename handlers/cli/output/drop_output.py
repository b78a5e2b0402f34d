"""A drop on a terminal: the copying, the progress of its update, and what became of it."""

from collections.abc import Iterable
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
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("copy", total=total, name="")
        for one in copied:
            bar.update(task, advance=1, name=one.key.split("/")[1])


def show_progress(steps: Iterable[DropProgress], console: Console) -> Outcome:
    """Show each step, tell once of a provisional version, and give the outcome of the last step."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    outcome = Outcome()
    told = False
    # Few refreshes: on a small machine this process must not take from what is being learnt.
    with Progress(*columns, console=console, transient=True, refresh_per_second=2) as bar:
        task = bar.add_task("waiting", total=1.0)
        for step in steps:
            if step.provisional is not None and not told:
                told = True
                bar.console.print(
                    f"provisional version {step.provisional} answers, {step.seconds:.0f} s after the drop; "
                    "it is being learnt",
                    highlight=False,
                )
            bar.update(task, description=step.text, completed=step.ratio)
            outcome = step.outcome or outcome
    return outcome


def show_drop(drop: Drop, outcome: Outcome | None, *, as_json: bool) -> None:
    """What was dropped and, where it was followed, what became of it."""
    if as_json:
        document = {
            "classes": {each.name: len(each.images) for each in drop.classes},
            "images": len(drop.uploads),
            "skipped_files": sum(each.others for each in drop.classes) + len(drop.left),
            **({"left_out": {visible(str(one.path)): one.reason for one in drop.left}} if drop.left else {}),
            **({"outcome": outcome.document()} if outcome else {}),
        }
        write_json(document)
        return
    console = Console()
    for each in drop.classes:
        skipped = f" ({each.others} other files left out)" if each.others else ""
        console.print(plain(f"dropped {each.name}: {len(each.images)} images{skipped}"))
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


def show_no_stack(folder: Path) -> None:
    """Nobody learns it yet."""
    Console().print(plain(f"no stack is running on {folder}: it will be learnt when `lucir up` runs", "yellow"))
