"""``lucir bench speed``: our training loop beside a straightforward one, and what each acceleration brings."""

import dataclasses
from pathlib import Path

from rich.console import Console
from rich.table import Table

from handlers.cli.bench.bench_run import choose_device, known_errors
from lucir_core.bench.datasets.cifar import load_cifar
from lucir_core.bench.environment import environment
from lucir_core.bench.speed.compare import Plan, compare, equality, summary, variants
from lucir_core.bench.speed.speed_page import rows, write_page


def run_speed(data: Path, output: Path, device: str, plan: Plan, commit: str | None) -> None:
    """Measure, write the page, show the table. Raises ``CommandError``."""
    console = Console()
    with known_errors():
        device = choose_device(device)
        dataset = load_cifar("cifar100", data)
        with console.status("starting the loops") as status:

            def report(name: str, number: int) -> None:
                status.update(f"round {number + 1} of {plan.rounds}: {name}")

            measured = compare(dataset, device, plan, variants(device), report)
            status.update("single steps beside float64")
            measured["step_equality"] = equality(dataset, device, plan)
        figures = summary(measured["images_per_second"])
        result = {"plan": dataclasses.asdict(plan), "summary": figures, **measured, **environment(device, commit)}
        write_page(result, output)
    table = Table("loop", "images per second", "processor seconds per step", box=None)
    for row in rows(result):
        table.add_row(*row)
    console.print(table)
    steps = Table("one step", "error beside float64", "bound", "equal", box=None)
    for name, facts in measured["step_equality"].items():
        steps.add_row(name, f"{facts['error']:.1e}", f"{facts['bound']:.1e}", "yes" if facts["equal"] else "NO")
    console.print(steps)
    if "best_over_reference" in figures:
        console.print(f"alone and compiled over the reference: {figures['best_over_reference']:.2f}", highlight=False)
    console.print(
        f"ours over the reference: {figures['over_reference']:.2f}; "
        f"the teacher costs {figures['teacher_share']:.0%} of the student",
        highlight=False,
    )
