"""The progress of a drop as a bar."""

from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from handlers.client.drop_progress import DropProgress, Outcome


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
