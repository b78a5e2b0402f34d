"""The speed benchmark's files: `speed.json` with every round, `speed.png`, and the table as text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lucir_core.bench.result_file import write_json

RESULT, PLOT = "speed.json", "speed.png"


def write_page(result: Mapping[str, Any], folder: Path) -> None:
    """Write both files into `folder`."""
    write_json(folder / RESULT, result)
    rates: Mapping[str, Sequence[float]] = result["images_per_second"]
    names = list(rates)[::-1]
    figure = Figure(figsize=(7.0, 0.45 * len(names) + 1.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    middle = [result["summary"]["images_per_second"][name] for name in names]
    axes.barh(names, middle, color=["tab:gray" if name == "reference" else "tab:blue" for name in names], alpha=0.7)
    for place, name in enumerate(names):
        axes.plot(rates[name], [place] * len(rates[name]), "k.", markersize=4)
    axes.set_xlabel(f"images per second, {result['plan']['network']}, batch {result['plan']['batch_size']}")
    figure.savefig(folder / PLOT, dpi=120)


def rows(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(loop, images per second with the range of its rounds, processor seconds per step) of every variant."""
    table = []
    for name, values in result["images_per_second"].items():
        used = sorted(result["processor_seconds_per_step"][name])
        rate = f"{result['summary']['images_per_second'][name]:.0f} ({min(values):.0f} to {max(values):.0f})"
        table.append((name, rate, f"{used[len(used) // 2]:.2f}"))
    return table
