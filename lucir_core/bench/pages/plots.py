"""The figures of the page as PNG files. A figure without runs is not drawn."""

from collections.abc import Callable, Sequence
from itertools import cycle
from math import isnan
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lucir_core.bench.pages.comparison import COUNTERPARTS
from lucir_core.bench.pages.groups import Group, Spread
from lucir_core.bench.pages.published import published_tables
from lucir_core.bench.pages.published_runs import OWN_ROWS, OwnRow, departures
from lucir_core.bench.spec import MEMORY_KEYS, usual_label

INK, GRID, PAPER = "#22303c", "#e3e7ea", "#7a8791"
COLOURS = ("#0b6e4f", "#c8553d", "#2f6690", "#8a5a9e", "#c58b1b", "#3c8d93", "#a23b5c", "#5b7a2b", "#7d5a3c")
COMPONENTS = ("cn", "cn+lc", "cn+lc+aw", "lucir", "lucir+cbf")
CONFUSION_PANELS = (("lucir", "cnn"), ("icarl", "cnn"), ("icarl", "nme"), ("finetune", "cnn"))


def save_accuracy(groups: Sequence[Group], path: Path) -> bool:
    """Accuracy over classes (Fig. 5 of the LUCIR paper) of the methods of one protocol; False without any."""
    lines = [(own, group) for own in OWN_ROWS for group in groups if _stands_for(group, own)]
    named = [(own.title + group.changed, group, own.readout) for own, group in lines]
    return bool(lines) and _save_curves(named, path, lambda axes: _published_curves(axes, lines))


def _stands_for(group: Group, own: OwnRow) -> bool:
    """Whether the runs are that line of the figure: as published, or on the scaled protocol, which no paper has."""
    if group.first["method"] != own.method or group.first["preset"] != own.preset:
        return False
    network = str(group.first["config"]["network"])
    return group.first["protocol"]["name"] == "scaled" or not departures(group, own, network)


def save_study(groups: Sequence[Group], study: str, path: Path) -> bool:
    """Accuracy over classes of the runs of one study (Figs. 7a and 8), classifier readout; False without two runs."""
    chosen = sorted((group for group in groups if study in group.first["studies"]), key=_component_order)
    return len(chosen) > 1 and _save_curves([(group.name + group.changed, group, "cnn") for group in chosen], path)


def save_exemplars(groups: Sequence[Group], path: Path) -> bool:
    """Average accuracy over exemplars per class (Fig. 7b), one line per method and readout; False without two sizes."""
    lines = [
        (f"{name}, {readout.upper()}", points)
        for name, members in _by_memory(groups).items()
        for readout in ("cnn", "nme")
        if len(points := _points(members, readout)) > 1
    ]
    if not lines:
        return False
    figure, axes = _figure()
    for colour, (title, points) in zip(cycle(COLOURS), lines, strict=False):
        means = [spread.mean for _, spread in points]
        errors = [spread.deviation or 0.0 for _, spread in points]
        axes.errorbar([size for size, _ in points], means, errors, color=colour, marker="o", capsize=3, label=title)
    axes.set(xlabel="exemplars per class", ylabel="average incremental accuracy, %")
    return _finish(figure, axes, path)


def _by_memory(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """The runs of the study by what they are called without their memory: those of a line differ in nothing else."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        first = group.first
        if "exemplars" in first["studies"]:
            name = usual_label(first["method"], first["preset"], on_cifar=True)
            others = [f"{key} = {value}" for key, value in first["settings"].items() if key not in MEMORY_KEYS]
            found.setdefault(", ".join((name, *others)), []).append(group)
    return found


def _points(groups: Sequence[Group], readout: str) -> list[tuple[int, Spread]]:
    """(exemplars per class, accuracy), the smallest memory first; without runs whose memory is one for all classes."""
    found = {group.first["config"]["exemplars_per_class"]: group.spread(readout, "average") for group in groups}
    return sorted((size, spread) for size, spread in found.items() if size is not None and not isnan(spread.mean))


def save_confusion(groups: Sequence[Group], path: Path) -> bool:
    """Confusion matrices after the last phase (Fig. 9), first seed, colour by log(1 + count); False without any."""
    panels = [
        (f"{group.name}, {readout.upper()}{group.changed}", group.first[readout]["confusion"])
        for label, readout in CONFUSION_PANELS
        for group in groups
        if group.label == label
    ]
    if not panels:
        return False
    figure = Figure(figsize=(4.2 * len(panels), 4.4), dpi=130, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    for axes, (title, matrix) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        axes.imshow(np.log1p(np.asarray(matrix)), cmap="viridis", interpolation="nearest")
        axes.set_title(title, color=INK, fontsize=11)
        axes.set(xlabel="predicted class, in order of arrival", ylabel="true class")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(path)
    return True


def _save_curves(
    lines: Sequence[tuple[str, Group, str]], path: Path, extra: Callable[[Axes], None] | None = None
) -> bool:
    figure, axes = _figure()
    for number, (title, group, readout) in enumerate(lines):
        curves = group.curves(readout)
        mean, colour = curves.mean(axis=0), COLOURS[number % len(COLOURS)]
        style = "-" if readout == "cnn" else "--"
        axes.plot(group.classes_seen, mean, style, color=colour, marker="o", label=f"{title}: {curves.mean():.1f}")
        if len(curves) > 1:
            axes.fill_between(group.classes_seen, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.15)
    if extra is not None:
        extra(axes)
    axes.set(xlabel="classes learnt so far", ylabel="accuracy over all of them, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _finish(figure, axes, path)


def _published_curves(axes: Axes, lines: Sequence[tuple[OwnRow, Group]]) -> None:
    """The published logs of the methods that are drawn and ran as published."""
    for table in published_tables():
        for row in table.rows:
            own_title = row.ours or COUNTERPARTS.get(row.method)
            for own, group in lines:
                protocol = group.first["protocol"]
                here = (protocol["name"], own.title) == (table.protocol, own_title)
                if row.curve is None or not here or row.curve[0] != protocol["phases"]:
                    continue
                if not departures(group, own, table.network):
                    label = f"{row.method}, published log: {np.mean(row.curve[1]):.1f}"
                    axes.plot(group.classes_seen, row.curve[1], ":", color=PAPER, marker="x", label=label)


def _component_order(group: Group) -> tuple[int, str]:
    known = group.label in COMPONENTS
    return (COMPONENTS.index(group.label) if known else len(COMPONENTS), group.label)


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 4.8), dpi=130, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _finish(figure: Figure, axes: Axes, path: Path) -> bool:
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
    # Beside the axes, so that it hides no line.
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5), title="average over phases")
    figure.savefig(path)
    return True
