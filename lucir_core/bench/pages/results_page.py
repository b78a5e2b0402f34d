"""The page of results: Markdown with tables and figures, made from the JSON files of finished runs alone."""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from lucir_core.bench.pages.commands import commands
from lucir_core.bench.pages.comparison import differences
from lucir_core.bench.pages.groups import Group, grouped
from lucir_core.bench.pages.plots import save_accuracy, save_confusion, save_exemplars, save_study
from lucir_core.bench.pages.published import published_tables
from lucir_core.bench.pages.tables import (
    NOT_RUN,
    ORDERING,
    all_runs,
    beside_none,
    beside_published,
    gains,
    ordering,
    orders,
    scaled_methods,
)
from lucir_core.bench.result_file import read_results

PAGE = "report.md"
INTRODUCTION = """# Benchmark results

Made by `lucir bench report` from the JSON files beside this page; every one of them is a run that was really carried
out, with its configuration, class order, seed, commit, versions and hardware in it. "{not_run}" means just that.

Accuracy is top-1 in percent over the test images of all classes seen so far. "Average" is the plain mean over all
phases, phase 0 included. A spread is the standard deviation over seeds. CNN reads the classifier, NME the nearest mean
of exemplars. The last epoch counts; nothing is chosen by test images.
"""
GAINS = "Each switch of `lucir_plus` alone, and all together; the gain is over plain LUCIR, same seeds, in points.\n"
ORDERS = """LUCIR in other orders of the classes. `easiest` lets similar classes arrive together, `hardest` spreads them
over the phases, `median` is the middle one of a thousand drawn orders (`benchmarks/orders`).
"""
Draw = Callable[[Sequence[Group], Path], bool]


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Render the results in `folder` into `output` (default: the same folder); returns the page's path."""
    groups = grouped(read_results(folder))
    target = output or folder
    target.mkdir(parents=True, exist_ok=True)
    parts = [INTRODUCTION.format(not_run=NOT_RUN), "## All runs\n", all_runs(groups)]
    parts += _scaled_part(groups)
    parts += _published_part(groups)
    parts += ["## Beyond the paper, one by one\n", GAINS, gains(groups)]
    parts += ["## Orders of the classes\n", ORDERS, orders(groups)]
    parts += _figures_part(groups, target)
    parts += ["## Any line again\n", commands(groups)]
    path = target / PAGE
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _scaled_part(groups: Sequence[Group]) -> list[str]:
    scaled = [group for group in groups if group.first["protocol"]["name"] == "scaled"]
    compared = [group for group in scaled if group.plain and group.label in dict(ORDERING)]
    minutes = sum(run["seconds"] for group in compared for run in group.runs) / 60
    text = f"The runs of these methods took {minutes:.1f} minutes in total.\n" if compared else f"{NOT_RUN}\n"
    others = ["### Every method on it\n", scaled_methods(scaled)]
    return ["## The scaled protocol\n", ordering(compared), text, *others]


def _published_part(groups: Sequence[Group]) -> list[str]:
    parts = [
        "## Beside the published figures\n",
        "Columns are phases (steps, from scratch). A cell is the average, with the last accuracy in brackets.\n"
        "Our rows are runs with the settings of the published ones; what differs in the others stands below.\n",
    ]
    for table in published_tables():
        parts += [f"### {table.title}\n", beside_published(table, groups)]
    text = "Ours minus reported, in points; the network and the memory are those of the table.\n"
    parts += ["### Reported, ours, difference\n", text, differences(published_tables(), groups)]
    return [*parts, "### Runs that stand beside no published figure\n", beside_none(groups)]


def _figures_part(groups: Sequence[Group], target: Path) -> list[str]:
    parts = ["## Figures\n"]
    protocols = groupby(groups, key=lambda group: (group.first["dataset"], group.title))
    by_protocol = {title: list(members) for title, members in protocols}
    figures: tuple[tuple[str, str, Draw], ...] = (
        ("Accuracy over classes (Fig. 5)", "accuracy", save_accuracy),
        ("Effect of each component (Fig. 7a)", "components", _study("components")),
        ("Effect of the number of exemplars (Fig. 7b)", "exemplars", save_exemplars),
        ("Effect of the adaptive weight (Fig. 8)", "lambda", _study("lambda")),
        ("Confusion matrices after the last phase, colour by log(1 + count) (Fig. 9)", "confusion", save_confusion),
    )
    for title, name, draw in figures:
        parts.append(f"### {title}\n")
        drawn = []
        for (dataset, protocol), members in by_protocol.items():
            file = f"{name}-{dataset}-{protocol}.png"
            if draw(members, target / file):
                drawn.append(f"{dataset}, {protocol}:\n\n![{title}, {dataset}, {protocol}]({file})\n")
            else:
                (target / file).unlink(missing_ok=True)
        parts += drawn or [f"{NOT_RUN}\n"]
    return parts


def _study(name: str) -> Draw:
    return lambda groups, path: save_study(groups, name, path)
