"""What a hundred updates in a row leave behind: does the hundredth cost more than the first?

    python -m benchmarks.growing.updates --output benchmarks/growing/updates.json

An updater and the serving process beside it (uvicorn) on a folder learn scikit-learn's digits in a hundred drops of
eleven images: two classes, then one more at a time, then more images of known ones. The network is frozen and drawn:
what is looked at is time and size, not accuracy. After each update: seconds and processor time, what was asked of the
store (``benchmarks.overhead.calls``), memory, the store's folder, series of ``/metrics``, bytes of ``/api/versions``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks.result import machine, show
from handlers.demo.digits import split_digits
from lucir_core.models import create_backbone

UPDATES, EACH, WINDOW = 100, 11, 10


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lucir-growing-") as folder:
        rows = learn(Path(folder), options.updates)
    window = min(WINDOW, len(rows) // 2)
    figures = {
        name: {"first": middle(rows[:window], name), "last": middle(rows[-window:], name)}
        for name in rows[0]["figures"]
    }
    show(
        {"machine": machine(), "updates": len(rows), "window": window, "medians": figures, "rows": rows}, options.output
    )


def middle(rows: list[dict[str, Any]], name: str) -> float:
    """The median of a figure."""
    return round(statistics.median(row["figures"][name] for row in rows), 2)


def learn(folder: Path, updates: int) -> list[dict[str, Any]]:
    """What the updater's process tells of each update; it is one of its own, which has not imported torch."""
    put_drops(folder / "drops", updates)
    draw_weights(folder / "weights.safetensors")
    command = [sys.executable, "-m", "benchmarks.growing.counted_updater", str(folder), str(updates)]
    rows = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        for line in process.stdout or ():
            rows.append(json.loads(line))
            sys.stderr.write(line)
    if process.returncode or len(rows) < updates:
        raise RuntimeError(f"the updater ended with status {process.returncode} after {len(rows)} updates")
    return rows


def put_drops(folder: Path, updates: int) -> None:
    """``<update>/<class>/<image>.png``: two classes, then one more at a time, then each in turn."""
    digits, used = split_digits(0).train, dict.fromkeys(map(str, range(10)), 0)
    for number in range(updates):
        for name in "01" if number == 0 else str((number + 1) % 10):
            place = folder / str(number + 1) / name
            place.mkdir(parents=True)
            for index in range(used[name], used[name] + EACH):
                (place / f"{index}.png").write_bytes(digits[name][index])
            used[name] += EACH


def draw_weights(path: Path) -> None:
    """Of a small network, never trained."""
    state = create_backbone("resnet8", last_relu=True, seed=1).state_dict()
    save_file({name: value.contiguous() for name, value in state.items() if isinstance(value, torch.Tensor)}, path)


if __name__ == "__main__":
    os.nice(5)
    main()
