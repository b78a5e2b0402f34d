"""The tables of a result, as Markdown for the page beside it."""

from pathlib import Path
from typing import Any

NAMES = {"analytic": "`photo` (analytic)", "expanded": "analytic, expanded to 2048", "lucir": "`photo_lucir`",
         "means": "class means", "baseline": "HOG + colours, ridge"}  # fmt: skip


def write_tables(result: dict[str, Any], path: Path) -> None:
    """Write all tables to ``path``."""
    runs = result["runs"]
    parts = [
        "In drops, right in % (mean of the seeds, in brackets the worst and the best):\n\n"
        + _accuracy(runs, "drops", "classes"),
        "All 12 classes, from fewer images of each, right in %:\n\n" + _accuracy(runs, "shots", "images"),
        "On the validation images, by which the default is chosen, in %:\n\n" + _validation(runs),
        "Calibration error of `photo`, old classes, seconds of the last drop:\n\n" + _more(runs),
        "The same head on two backbones, right in %, and one image through the backbone:\n\n"
        + _networks(result["networks"]),
        "Images of classes that were never learnt:\n\n"
        + _shares(result["unknown"], {"flagged": "flagged, %", "false_alarms": "false alarms, %"}),
        "Accuracy as page, report and metrics show it (each image left out), and of fresh images:\n\n"
        + _shown(result["shown"]),
        "A fifth of the labels exchanged:\n\n"
        + _shares(result["exchanged"], {"named": "of the exchanged named, %", "false": "of the others named, %"}),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _shown(rows: list[dict[str, Any]]) -> str:
    names = {
        "shown": "shown, %",
        "fresh": "fresh, %",
        "calibration_error": "calibration error, %",
        "baseline": NAMES["baseline"],
    }
    head = ["images per class", *names.values(), "fresh below the interval shown", "intervals apart"]
    lines = []
    for row in rows:
        figures = [
            f"{100 * row[key]['mean']:.1f} ({100 * row[key]['least']:.1f} to {100 * row[key]['most']:.1f})"
            for key in names
        ]
        lines.append([str(row["images"]), *figures, *(f"{row[key]} of {row['splits']}" for key in ("below", "apart"))])
    return _table(head, lines)


def _percent(values: list[float]) -> str:
    mean = 100 * sum(values) / len(values)
    return f"{mean:.1f} ({100 * min(values):.1f}, {100 * max(values):.1f})"


def _accuracy(runs: list[dict[str, Any]], part: str, key: str) -> str:
    head = ["classes" if key == "classes" else "images per class", *NAMES.values()]
    rows = []
    for place, first in enumerate(runs[0][part]):
        rows.append(
            [str(first[key]), *(_percent([run[part][place][name]["accuracy"] for run in runs]) for name in NAMES)]
        )
    return _table(head, rows)


def _validation(runs: list[dict[str, Any]]) -> str:
    names = ("analytic", "expanded", "lucir")
    rows = []
    for place, first in enumerate(runs[0]["shots"]):
        rows.append(
            [
                str(first["images"]),
                *(_percent([run["shots"][place][name]["validation"] for run in runs]) for name in names),
            ]
        )
    return _table(["images per class", *(NAMES[name] for name in names)], rows)


def _networks(networks: list[dict[str, Any]]) -> str:
    head = ["preset", *(f"{shot['images']} images" for shot in networks[0]["shots"]), "milliseconds per image"]
    rows = [
        [
            f"`{one['preset']}`",
            *(_percent(shot["accuracy"]) for shot in one["shots"]),
            f"{1000 * one['seconds_per_image']:.0f}",
        ]
        for one in networks
    ]
    return _table(head, rows)


def _more(runs: list[dict[str, Any]]) -> str:
    rows = []
    for place, first in enumerate(runs[0]["drops"]):
        cells = [run["drops"][place]["analytic"] for run in runs]
        old = [cell["old"] for cell in cells if cell["old"] is not None]
        seconds = [cell["seconds"] for cell in cells]
        errors = _percent([cell["calibration_error"] for cell in cells])
        rows.append(
            [str(first["classes"]), errors, _percent(old) if old else "-", f"{sum(seconds) / len(seconds):.1f}"]
        )
    return _table(["classes", "calibration error, %", "old classes right, %", "seconds"], rows)


def _shares(results: list[dict[str, Any]], columns: dict[str, str]) -> str:
    rows = []
    for one in results:
        cells = (one[name] for name in columns)
        shown = [f"{100 * cell['mean']:.1f} ({100 * cell['least']:.1f} to {100 * cell['most']:.1f})" for cell in cells]
        rows.append([str(one["images"]), *shown])
    return _table(["images per class", *columns.values()], rows)
