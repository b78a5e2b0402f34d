"""Requests per second and their times, ours beside what a user would pick instead; every peer in one run.

``python -m benchmarks.serving.run --output benchmarks/serving/results.json``: the servers run side by side, the rounds
go through them in turn, so that other load of the machine meets all alike. The model is a network as ``--preset`` makes
it, hardly trained: its speed is what counts.
"""

import argparse
import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.result import machine, show
from benchmarks.serving.made_version import TORCHSCRIPT, make_version
from benchmarks.serving.peers import OTHERS, Peer, in_process, other, ours, starlette
from handlers.inference.preprocess import Limits
from handlers.inference.sessions.copy_choice import read_choice
from handlers.inference.version_model import VersionModel
from handlers.torchserve.outcome import describe_copy
from lucir_core.testing import synthetic_images

BATCH = 8
"""Images taken together at most in process, as by the peers of other projects; ours have a setting for that."""
PANELS = (
    ("clients", "per_second", "requests per second"),
    ("clients", "p99_ms", "p99, ms"),
    ("per second", "p50_ms", "median, ms"),
    ("per second", "p99_ms", "p99, ms"),
)
"""What the plot shows: over which load, which figure, and its title."""
OURS: dict[str, Any] = {"marker": "o", "linewidth": 2.5}
BOUND: dict[str, Any] = {"marker": "", "linestyle": ":", "linewidth": 2}
OTHER: dict[str, Any] = {"marker": "s", "linestyle": "--", "linewidth": 1, "markersize": 4}
KEPT_UP = 0.97
"""Share of an offered rate that is answered by a peer that keeps up."""
LARGE = (4000, 3000)
"""Pixels of a photograph as cameras take them."""


def main() -> None:
    """Run it, print the table, write JSON and a plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="photo_scratch")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rates", type=float, nargs="*", default=[], help="requests per second, open loop")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--torchserve", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--peers-python", type=Path, help="the Python of an environment with " + ", ".join(OTHERS))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lucir-serving-") as name:
        result = measure(Path(name), options)
    sys.stdout.write(table(result) + "\n")
    show(result, options.output)
    if options.output is not None:
        plot(result, options.output.with_suffix(".png"))


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds; figures by load and peer."""
    version, image = make_version(folder, options.preset), folder / "image.jpg"
    Image.fromarray(synthetic_images(0, 1, side=160)[0]).save(image, quality=85)
    text = base64.b64encode(image.read_bytes()).decode()
    for name, document in (("image.json", {"image": text}), ("images.json", {"images": [text]})):
        image.with_name(name).write_text(json.dumps(document), encoding="utf-8")
    loads = [(clients, None) for clients in options.clients] + [(32, rate) for rate in options.rates]
    taken: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    with ExitStack() as running:
        peers = [
            running.enter_context(ours("uvicorn", folder / "store", folder / "uvicorn")),
            running.enter_context(ours("uvicorn", folder / "store", folder / "published", copies="off")),
            running.enter_context(starlette(version, image)),
        ]
        if options.torchserve:
            peers.append(running.enter_context(ours("torchserve", folder / "store", folder / "torchserve")))
        others = [name for name, each in OTHERS.items() if installed(each.package, options.peers_python)]
        started = (other(name, options.peers_python, version, folder / TORCHSCRIPT) for name in others)
        peers += [running.enter_context(each) for each in started]
        for peer in peers:
            ask(peer, image, 8, 1.0, None)  # warm
        for _ in range(options.rounds):
            for clients, rate in loads:
                key = f"{clients} clients" if rate is None else f"{rate:g} per second"
                if rate is None:
                    for copies, name in (("off", "in process, as published"), ("auto", "in process, serving copy")):
                        bound = in_process(version, image, min(clients, BATCH), options.seconds / 2, copies)
                        taken[key, name].append(figures(bound, bound["cpu_seconds"]))
                for peer in peers:
                    before = peer.cpu_seconds()
                    found = ask(peer, image, clients, options.seconds, rate)
                    taken[key, peer.name].append(figures(found, peer.cpu_seconds() - before))
        choice = describe_copy(read_choice(folder / "uvicorn" / "models" / "lucir-1"))
        memory = {peer.name: round(peer.memory_mib(), 1) for peer in peers}
    return {
        "machine": machine(),
        "preset": options.preset,
        "load_generator": "wrk" if shutil.which("wrk") else "benchmarks.serving.load_generator (wrk is not installed)",
        "serving_copy": choice,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "memory_mib": memory,
        "decode_12_megapixels_cpu_ms": decode_large(version, folder / "large.jpg"),
        "not_there": [name for name in OTHERS if name not in others],
        "median_of_rounds": [
            {
                "load": load,
                "peer": peer,
                **medians(rounds),
            }
            for (load, peer), rounds in taken.items()
        ],
    }


def installed(package: str, python: Path | None) -> bool:
    """Whether an interpreter has the package."""
    if python is None:
        return False
    asked = f"import importlib.metadata; importlib.metadata.version({package!r})"
    return subprocess.run([str(python), "-c", asked], check=False, stderr=subprocess.DEVNULL).returncode == 0


def decode_large(version: Path, image: Path) -> float:
    """Milliseconds of processor time from a photograph of 12 megapixels to the input of a version; the median."""
    Image.fromarray(synthetic_images(0, 1, side=160)[0]).resize(LARGE, Image.Resampling.BICUBIC).save(image, quality=90)
    model, data, took = VersionModel.load(version), image.read_bytes(), []
    for _ in range(9):
        begun = time.process_time()
        model.prepare(data, Limits())
        took.append(1e3 * (time.process_time() - begun))
    return round(statistics.median(took), 1)


def ask(peer: Peer, image: Path, clients: int, seconds: float, rate: float | None) -> dict[str, Any]:
    """The load generator, as a process of its own: wrk where it is installed and no rate is asked for."""
    image = image.with_name(peer.body)
    if rate is None and shutil.which("wrk"):
        wrk = ["wrk", "--threads", 1, "--connections", clients, "--duration", f"{max(1, round(seconds))}s"]
        script = Path(__file__).with_name("post.lua")
        told = subprocess.run(
            [*map(str, wrk), "--script", str(script), peer.url],
            check=True,
            capture_output=True,
            env={**os.environ, "IMAGE": str(image)},
        )
        measured: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
        return measured
    words = [peer.url, image, "--clients", clients, "--seconds", seconds, *(["--rate", rate] if rate else [])]
    command = [sys.executable, "-m", "benchmarks.serving.load_generator", *map(str, words)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def figures(found: dict[str, Any], cpu_seconds: Any) -> dict[str, float]:
    """Of one round: requests per second, milliseconds."""
    if "took" in found:
        took = np.array(found["took"]) * 1e3
        percentiles = dict(zip(("p50_ms", "p99_ms"), np.percentile(took, [50, 99]).tolist(), strict=True))
        found = {**found, "requests": len(took), **percentiles}
    return {
        "per_second": found["requests"] / found["seconds"],
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
        "cpu_ms_per_request": cpu_seconds * 1e3 / found["requests"],
        "not_200": found["refused"],
    }


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure."""
    return {name: round(statistics.median(each[name] for each in rounds), 2) for name in rounds[0]}


def table(result: dict[str, Any]) -> str:
    """For a terminal."""
    rows = result["median_of_rounds"]
    head = f"{'load':<16}{'peer':<28}{'req/s':>8}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>8}{'not 200':>9}"
    return "\n".join(
        [head]
        + [
            f"{row['load']:<16}{row['peer']:<28}{row['per_second']:>8.1f}{row['p50_ms']:>9.1f}{row['p99_ms']:>9.1f}"
            f"{row['cpu_ms_per_request']:>8.2f}{row['not_200']:>9.0f}"
            for row in rows
        ]
    )


def plot(result: dict[str, Any], path: Path) -> None:
    """Requests per second and p99 over the number of clients; median and p99 over the offered rate, of each peer as far
    as it keeps up with that.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(13, 9.5), layout="constrained")
    rows: list[dict[str, Any]] = result["median_of_rounds"]
    panels = tuple(zip(figure.subplots(2, 2).flat, PANELS, strict=True))
    for number, peer in enumerate(dict.fromkeys(row["peer"] for row in rows)):
        style = OURS if peer.startswith("lucir") else BOUND if peer.startswith("in process") else OTHER
        for axis, (load, name, _) in panels:
            own = [row for row in rows if row["peer"] == peer and row["load"].endswith(load) and keeps_up(row)]
            loads = [float(row["load"].split()[0]) for row in own]
            axis.plot(loads, [row[name] for row in own], color=colormaps["tab20"](number % 20), label=peer, **style)
    for axis, (load, _, title) in panels:
        marks = sorted({float(row["load"].split()[0]) for row in rows if row["load"].endswith(load)})
        axis.set(xscale="log", yscale="log", xlabel=load if load == "clients" else "requests per second, offered")
        axis.set_title(title)
        axis.set_xticks(marks, [f"{mark:g}" for mark in marks])
        axis.minorticks_off()
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.grid(visible=True, alpha=0.3)
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=100)


def keeps_up(row: dict[str, Any]) -> bool:
    """Whether nearly all requests that were due were answered; without a rate there is nothing to keep up with."""
    offered, kind = row["load"].split(maxsplit=1)
    return bool(kind == "clients" or row["per_second"] >= KEPT_UP * float(offered))


if __name__ == "__main__":
    main()
