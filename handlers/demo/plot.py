"""The story as one plot: accuracy as classes arrive, and what is left of each class at the end."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from handlers.demo.service_accuracy import Measured
from handlers.demo.verdict import StoryResult

LUCIR, PLAIN, INK, GRID = "#0b6e4f", "#c8553d", "#22303c", "#e3e7ea"


def save_plot(stories: Sequence[StoryResult], path: Path) -> None:
    """Write a PNG; lines and bars are means over the stories, points the single ones."""
    material = stories[0].material
    figure = Figure(figsize=(11, 4.6), dpi=160, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    _draw_phases(left, stories)
    _draw_classes(right, stories)
    for axes in (left, right):
        _dress(axes)
    figure.suptitle(
        f"{material.title} learnt in {len(material.phases)} drops while serving: "
        "accuracy over HTTP on images never trained on",
        color=INK,
        fontsize=12,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    figure.savefig(path)


def _draw_phases(axes: Axes, stories: Sequence[StoryResult]) -> None:
    material = stories[0].material
    seen = np.cumsum([len(phase) for phase in material.phases])
    for name, colour, pick in (("lucir", LUCIR, _service), (material.compared, PLAIN, _compared)):
        values = np.array([[measured.all * 100 for measured in pick(story)] for story in stories])
        mean = values.mean(axis=0)
        axes.plot(seen, mean, color=colour, linewidth=2.5, marker="o", markersize=7, zorder=3)
        if len(stories) > 1:
            axes.plot(seen, values.T, linestyle="none", marker="o", markersize=4, color=colour, alpha=0.35, zorder=2)
        for x, y in zip(seen, mean, strict=True):
            below = name != "lucir"
            axes.annotate(
                f"{y:.0f}",
                (x, y),
                xytext=(0, -16 if below else 8),
                textcoords="offset points",
                ha="center",
                color=colour,
                fontweight="bold",
            )
        axes.annotate(name, (seen[-1], mean[-1]), xytext=(12, -4), textcoords="offset points", color=colour)
    axes.set(
        xlim=(seen[0] - 0.5, seen[-1] * 1.26),
        ylim=(0, 108),
        xlabel=f"{material.noun} learnt so far",
        ylabel="accuracy over all of them, %",
    )
    axes.set_xticks(seen)


def _draw_classes(axes: Axes, stories: Sequence[StoryResult]) -> None:
    material = stories[0].material
    names = [name for phase in material.phases for name in phase]
    places = np.arange(len(names))
    for offset, colour, pick in ((-0.2, LUCIR, _service), (0.2, PLAIN, _compared)):
        last = [pick(story)[-1].class_accuracy for story in stories]
        heights = [100 * float(np.mean([each[name] for each in last])) for name in names]
        axes.bar(places + offset, heights, width=0.38, color=colour, zorder=3)
    edges = np.cumsum([len(phase) for phase in material.phases])
    for number, (begin, end) in enumerate(zip([0, *edges[:-1]], edges, strict=True), start=1):
        axes.text((begin + end - 1) / 2, 103, f"drop {number}", ha="center", color=INK, fontsize=9)
        if end < len(names):
            axes.axvline(end - 0.5, color=INK, linewidth=0.8, linestyle=(0, (4, 4)), zorder=1)
    axes.set(ylim=(0, 112), ylabel="accuracy at the end, %")
    long = max(map(len, names)) > 2
    axes.set_xticks(places, names, rotation=45 if long else 0, ha="right" if long else "center")


def _service(story: StoryResult) -> list[Measured]:
    return [phase.measured for phase in story.service.phases]


def _compared(story: StoryResult) -> list[Measured]:
    return list(story.compared)


def _dress(axes: Axes) -> None:
    axes.grid(axis="y", color=GRID, linewidth=1, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, colors=INK)
    axes.set_yticks(range(0, 101, 20))
