"""The tables of the page of results, as Markdown. What was not run says so."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from lucir_core.bench.pages.groups import Group, present, shown
from lucir_core.bench.pages.published import Figure, PublishedTable
from lucir_core.bench.pages.published_runs import OWN_ROWS, matching, unlike_published

NOT_RUN = "not run"


ORDERING = (("joint", "cnn"), ("lucir", "cnn"), ("icarl", "nme"), ("finetune", "cnn"))
"""What the scaled protocol must show, best first."""


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; text in cells is kept from being read as markup."""
    lines = [_line(header), _line(["---"] * len(header)), *(_line(row) for row in rows)]
    return "\n".join(lines) + "\n"


def beside_published(table: PublishedTable, groups: Sequence[Group]) -> str:
    """One published table with our rows below it: average over all phases, the last accuracy in brackets."""
    header = ["method", *map(str, table.columns), "source"]
    rows = [
        [row.method, *(_published(row.figures.get(column)) for column in table.columns), f"{row.source} [{row.trust}]"]
        for row in table.rows
    ]
    for own in OWN_ROWS:
        found = [matching(groups, table, own, column) for column in table.columns]
        cells = [_own(group, own.readout) for group in found]
        rows.append([f"**ours: {own.title}**", *cells, _seeds_of(found)])
    return markdown(header, rows)


def beside_none(groups: Sequence[Group]) -> str:
    """The runs of the papers' protocols that stand beside no published figure, and why."""
    rows = [
        [str(group.first["dataset"]), group.title, group.name, "; ".join(differing)]
        for group, differing in unlike_published(groups)
    ]
    return markdown(["data", "protocol", "run", "what differs"], rows) if rows else "None.\n"


def all_runs(groups: Sequence[Group]) -> str:
    """Every group of runs with what tells it from the others."""
    header = ["data", "protocol", "run", "settings", "network", "epochs", "seeds"]
    header += ["CNN average", "CNN last", "NME average", "NME last", "CNN forgetting", "minutes a run"]
    header += ["10^15 FLOPs a run", "made with"]
    rows = []
    for group in groups:
        first = group.first
        rows.append(
            [
                str(first["dataset"]),
                f"{group.title}: {_sizes(first['protocol']['phase_sizes'])}",
                group.name,
                _settings(group),
                str(first["config"]["network"]),
                str(first["config"]["epochs"]),
                ", ".join(str(run["seed"]) for run in group.runs),
                str(group.spread("cnn", "average")),
                str(group.spread("cnn", "last")),
                str(group.spread("nme", "average")),
                str(group.spread("nme", "last")),
                str(group.spread("cnn", "forgetting")),
                _minutes(group),
                _flops(group),
                made_with(group),
            ]
        )
    return markdown(header, rows) if rows else f"{NOT_RUN}\n"


def _minutes(group: Group) -> str:
    """Of the mean run; a phase 0 that other runs learnt stands apart."""
    own = sum(run["seconds"] for run in group.runs) / len(group.runs) / 60
    shared = sum(run["phases"][0].get("shared", {"seconds": 0.0})["seconds"] for run in group.runs)
    return f"{own:.1f}" + (f" + {shared / len(group.runs) / 60:.1f} shared" if shared else "")


def _flops(group: Group) -> str:
    """Multiplications and additions of the training steps, mean of the runs; a shared phase 0 stands apart."""
    counts = [run["flops"] for run in group.runs if run.get("flops") is not None]
    if len(counts) < len(group.runs):
        return "not counted"
    own = sum(counts) / len(counts) / 1e15
    shared = sum(run["phases"][0].get("shared", {}).get("flops") or 0.0 for run in group.runs) / len(counts) / 1e15
    return f"{own:.3g}" + (f" + {shared:.3g} shared" if shared else "")


def ordering(groups: Sequence[Group]) -> str:
    """The methods of the scaled protocol from the best down, and whether each step is wider than the seeds' spread."""
    rows: list[list[str]] = []
    before: dict[int, float] | None = None
    for label, readout in ORDERING:
        group = next((each for each in groups if each.first["method"] == each.label == label), None)
        name = f"{label}, {readout.upper()}"
        if group is None:
            rows.append([name, NOT_RUN, "", "", "", ""])
            before = None
            continue
        found = {int(run["seed"]): _mean([run[readout]["average"]]) for run in group.runs}
        averages = {seed: value for seed, value in found.items() if not math.isnan(value)}
        spread, last = group.spread(readout, "average"), group.spread(readout, "last")
        values = ", ".join(f"{value:.2f}" for value in averages.values())
        rows.append([name, str(spread), values, str(last), *_step_down(before, averages)])
        before = averages
    header = ["method", "average", "each seed", "last", "worst seed of the line above is better than its best"]
    return markdown([*header, "line above is better by, seed by seed"], rows)


def _step_down(before: dict[int, float] | None, now: dict[int, float]) -> tuple[str, str]:
    if not before or not now:
        return "", ""
    gap = min(before.values()) - max(now.values())
    verdict = f"yes, by {gap:.2f}" if gap > 0 else f"no: overlap of {-gap:.2f}"
    return verdict, ", ".join(f"{before[seed] - value:.2f}" for seed, value in now.items() if seed in before)


def scaled_methods(groups: Sequence[Group]) -> str:
    """Every method on the scaled protocol, best classifier first: both readouts, and where the last model errs."""
    header = [
        "run",
        "settings",
        "CNN average",
        "NME average",
        "CNN last: all",
        "old classes",
        "new classes",
        "forgetting",
    ]
    rows = []
    for group in sorted(groups, key=_best_first):
        last = [run["phases"][-1]["cnn"] for run in group.runs]
        shares = [_mean([values[part] for values in last]) for part in ("all", "old", "new")]
        rows.append(
            [
                group.name,
                _settings(group),
                str(group.spread("cnn", "average")),
                str(group.spread("nme", "average")),
                *map(shown, shares),
                str(group.spread("cnn", "forgetting")),
            ]
        )
    return markdown(header, rows) if rows else f"{NOT_RUN}\n"


def gains(groups: Sequence[Group]) -> str:
    """Every run of the study `plus` beside plain LUCIR on the same data and protocol, seed by seed; best gain first."""
    chosen = [group for group in groups if "plus" in group.first["studies"]]
    base = {_place(group): group for group in chosen if group.label == group.first["method"] == "lucir"}
    rows = []
    for group in chosen:
        plain = base.get(_place(group))
        cells = [str(group.first["dataset"]), group.title, group.name, _settings(group)]
        for readout in ("cnn", "nme"):
            cells += [str(group.spread(readout, "average")), _gain(group, plain, readout)]
        rows.append((cells, math.nan if plain is None else _mean_gain(group, plain, "cnn")))
    header = ["data", "protocol", "run", "settings", "CNN average", "gain", "NME average", "gain"]
    return (
        markdown(header, [cells for cells, _ in sorted(rows, key=lambda row: _down(row[1]))])
        if rows
        else f"{NOT_RUN}\n"
    )


def orders(groups: Sequence[Group]) -> str:
    """The runs of the study `orders` by protocol, best first, and how many points lie between best and worst."""
    chosen = [group for group in groups if "orders" in group.first["studies"]]
    rows = []
    for group in sorted(chosen, key=lambda group: (*_place(group), *_best_first(group))):
        others = present(other.spread("cnn", "average").mean for other in chosen if _place(other) == _place(group))
        apart = max(others) - min(others) if others else math.nan
        spreads = [str(group.spread(readout, name)) for readout in ("cnn", "nme") for name in ("average", "last")]
        rows.append([group.title, group.name, *spreads, shown(apart)])
    header = ["protocol", "run", "CNN average", "CNN last", "NME average", "NME last", "best to worst"]
    return markdown(header, rows) if rows else f"{NOT_RUN}\n"


def _best_first(group: Group) -> tuple[bool, float]:
    """Sorts by the classifier's average."""
    return _down(group.spread("cnn", "average").mean)


def _down(value: float) -> tuple[bool, float]:
    """Sorts from the largest down, what is missing last."""
    return math.isnan(value), -value


def _mean(shares: Iterable[float | None]) -> float:
    """In percent; NaN without any."""
    found = present(shares)
    return 100.0 * float(np.mean(found)) if found else math.nan


def _place(group: Group) -> tuple[str, str]:
    return str(group.first["dataset"]), group.title


def _mean_gain(group: Group, plain: Group, readout: str) -> float:
    """In points, over the seeds that both have; NaN without one."""
    one, two = ({run["seed"]: run[readout]["average"] for run in each.runs} for each in (group, plain))
    both = [seed for seed in one if seed in two and len(present((one[seed], two[seed]))) == 2]
    return _mean([one[seed] - two[seed] for seed in both])


def _gain(group: Group, plain: Group | None, readout: str) -> str:
    if plain is None:
        return NOT_RUN
    return "" if group is plain else shown(_mean_gain(group, plain, readout), "+.2f")


def made_with(group: Group) -> str:
    """Hardware and commits of the pieces of all runs."""
    pieces = [piece for run in group.runs for piece in run["pieces"]]
    devices = sorted(
        {piece["hardware"].get("gpu") or f"CPU, {piece['hardware']['threads']} threads" for piece in pieces}
    )
    commits = sorted({_short(piece["commit"]) for piece in pieces})
    return "; ".join((*devices, *commits))


def _short(commit: str | None) -> str:
    return "unknown commit" if commit is None else commit[:10] + ("+" if commit.endswith("+") else "")


def _settings(group: Group) -> str:
    return ", ".join(f"{key} = {value}" for key, value in group.first["settings"].items()) or "preset"


def _seeds_of(groups: Sequence[Group | None]) -> str:
    counts = sorted({len(group.runs) for group in groups if group is not None})
    return f"this page, seeds: {' or '.join(map(str, counts))}" if counts else ""


def _own(group: Group | None, readout: str) -> str:
    return (
        NOT_RUN
        if group is None
        else f"{group.spread(readout, 'average')} ({shown(group.spread(readout, 'last').mean)})"
    )


def _published(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    average = "" if figure.average is None else f"{figure.average:.2f}"
    spread = "" if figure.spread is None else f" ± {figure.spread:.2f}"
    last = "" if figure.last is None else f"({figure.last:.2f})"
    return " ".join(part for part in (average + spread, last) if part)


def _sizes(sizes: Sequence[int]) -> str:
    """`50 + 5 x 10`."""
    parts: list[list[int]] = []
    for size in sizes:
        if parts and parts[-1][1] == size:
            parts[-1][0] += 1
        else:
            parts.append([1, size])
    return " + ".join(str(size) if count == 1 else f"{count} x {size}" for count, size in parts)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
