"""The figures of the page as PNG files. A figure without runs is not drawn."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lucir_core.bench.pages.groups import Group
from lucir_core.bench.pages.published import published_tables
from lucir_core.bench.pages.tables import OWN_ROWS

INK, GRID, PAPER = "#22303c", "#e3e7ea", "#7a8791"
COLOURS = ("#0b6e4f", "#c8553d", "#2f6690", "#8a5a9e", "#c58b1b", "#3c8d93", "#a23b5c", "#5b7a2b", "#7d5a3c")
COMPONENTS = ("cn", "cn+lc", "cn+lc+aw", "lucir", "lucir+cbf")
CONFUSION_PANELS = (("lucir", "cnn"), ("icarl", "cnn"), ("icarl", "nme"), ("finetune", "cnn"))


def save_accuracy(groups: Sequence[Group], path: Path) -> bool:
    """Accuracy over classes (Fig. 5 of the LUCIR paper) of the methods of one protocol; False without any."""
    lines = [
        (own.title, group, own.readout)
        for own in OWN_ROWS
        for group in groups
        if group.label == own.label and (group.plain or group.title.startswith("scaled"))
    ]
    return bool(lines) and _save_curves(lines, path, lambda axes: _published_curve(axes, lines[0][1]))


def save_study(groups: Sequence[Group], study: str, path: Path) -> bool:
    """Accuracy over classes of the runs of one study (Figs. 7a and 8), classifier readout; False without two runs."""
    chosen = sorted((group for group in groups if study in group.first["studies"]), key=_component_order)
    return len(chosen) > 1 and _save_curves([(group.label, group, "cnn") for group in chosen], path)


def save_exemplars(groups: Sequence[Group], path: Path) -> bool:
    """Average accuracy over exemplars per class (Fig. 7b), one line per method and readout; False without two runs."""
    chosen = [group for group in groups if "exemplars" in group.first["studies"]]
    if len(chosen) < 2:
        return False
    figure, axes = _figure()
    wanted = (("lucir", "cnn"), ("lucir", "nme"), ("icarl", "cnn"), ("icarl", "nme"))
    for colour, (method, readout) in zip(COLOURS, wanted, strict=False):
        mine = sorted(
            (group.first["config"]["exemplars_per_class"], group.spread(readout, "average"))
            for group in chosen
            if group.first["method"] == method
        )
        if mine:
            sizes, spreads = zip(*mine, strict=True)
            means = [spread.mean for spread in spreads]
            errors = [spread.deviation or 0.0 for spread in spreads]
            axes.errorbar(
                sizes, means, errors, color=colour, marker="o", capsize=3, label=f"{method}, {readout.upper()}"
            )
    axes.set(xlabel="exemplars per class", ylabel="average incremental accuracy, %")
    return _finish(figure, axes, path)


def save_confusion(groups: Sequence[Group], path: Path) -> bool:
    """Confusion matrices after the last phase (Fig. 9), first seed, colour by log(1 + count); False without any."""
    panels = [
        (f"{label}, {readout.upper()}", group.first[readout]["confusion"])
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


def _published_curve(axes: Axes, group: Group) -> None:
    facts = (group.first["protocol"]["name"], group.first["config"]["network"], group.first["dataset"])
    for table in published_tables():
        for row in table.rows:
            same = facts == (table.protocol, table.network, "cifar100")
            if same and row.curve is not None and row.curve[0] == group.first["protocol"]["phases"]:
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
