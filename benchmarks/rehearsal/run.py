"""A whole suite with tiny networks and images: cut off by its time limit, killed, carried elsewhere, finished.

    python -m benchmarks.rehearsal.run [--suite cifar100] [--limit 30] [--rest 300] [--output result.json]

What a visit to a borrowed GPU will meet, on any two cores in a few minutes: the lines, their order, sharing, cutting
off and going on are those of the real suite, only images (four of each class, made up), networks and epochs are tiny.
The accuracies mean nothing.
"""

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from benchmarks.result import machine, show
from lucir_core.testing import synthetic_images

SIDE, CLASSES = 32, 100
IMAGES = {"train": 4, "test": 2}
TINY = {"network": "resnet8", "epochs": 1, "initial_epochs": None, "milestones": [], "initial_milestones": None}
OWN: dict[str, dict[str, Any]] = {
    "lucir": {"cbf.epochs": 1, "lucir.boost.epochs": 1, "lucir.boost.compression_epochs": 1},
    "eeil": {"eeil.finetune_epochs": 1, "eeil.finetune_milestones": []},
    "der": {"der.warmup_epochs": 0, "der.classifier_epochs": 1},
}
"""By method: what else takes epochs."""
UNFINISHED, KILLED = 75, -signal.SIGKILL
KILL_SECONDS = (0.2, 1.0)
"""After the first sign of work: how long a piece that is killed goes on."""
MOST = 12
"""Pieces after the kill."""
LOOK_SECONDS, PATIENCE = 0.2, 300.0


def write_data(folder: Path) -> None:
    """Made-up images in the form of the CIFAR-100 folder of strips."""
    folder.mkdir(parents=True)
    names = [f"class {label}" for label in range(CLASSES)]
    (folder / "classes.json").write_text(json.dumps({"fine": names}), encoding="utf-8")
    for number, (split, count) in enumerate(IMAGES.items()):
        np.save(folder / f"{split}_labels.npy", np.repeat(np.arange(CLASSES, dtype=np.uint8), count))
        with tarfile.open(folder / f"{split}-000-099.tar", "w") as tar:
            for label in range(CLASSES):
                file = io.BytesIO()
                strip = synthetic_images(label, count, number, SIDE).reshape(-1, SIDE, 3)
                Image.fromarray(strip).save(file, "WEBP", lossless=True)
                info = tarfile.TarInfo(f"{split}-{label:03d}.webp")
                info.size = file.tell()
                file.seek(0)
                tar.addfile(info, file)


def write_suite(name: str, path: Path, lines: int | None = None) -> int:
    """The suite of the package with tiny settings and one seed; returns the number of its runs."""
    text = (resources.files("lucir_core.bench") / "suites" / f"{name}.yaml").read_text(encoding="utf-8")
    suite = yaml.safe_load(text)
    suite["runs"] = suite["runs"][:lines]
    suite["seeds"] = suite["seeds"][:1]
    if "validation" in suite:
        suite["validation"] = 1
    for run in suite["runs"]:
        run["settings"] = {**run.get("settings", {}), **TINY, **OWN.get(run["method"], {})}
    path.write_text(yaml.safe_dump(suite), encoding="utf-8")
    return len(suite["runs"])


class Rehearsal:
    """One suite in one folder, piece by piece; `pieces` tells what each did."""

    def __init__(self, root: Path, suite: str, lines: int | None = None) -> None:
        self._data, self._suite, self._moves = root / "data", root / f"{suite}.yaml", 0
        self._root, self.output = root, root / "out"
        write_data(self._data)
        self.runs = write_suite(suite, self._suite, lines)
        self.pieces: list[dict[str, Any]] = []

    def piece(self, limit: float, kill_after: float | None = None) -> int:
        """Run the command once, killed so many seconds after it begins to work if given; returns its exit status."""
        words = ["bench", "suite", str(self._suite), "--data", str(self._data), "--output", str(self.output)]
        command = [sys.executable, "-m", "handlers.cli.main", *words, "--device", "cpu", "--time-limit", f"{limit:g}"]
        began = time.monotonic()
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
        ) as process:
            if kill_after is not None:
                self._wait_for_work(process)
                time.sleep(kill_after)
                process.kill()
            _, error = process.communicate()
        if process.returncode not in (0, UNFINISHED, KILLED):
            raise SystemExit(error.decode())
        sizes = [path.stat().st_size for path in self.output.rglob("*") if path.is_file()]
        self.pieces.append(
            {
                "status": process.returncode,
                "seconds": round(time.monotonic() - began, 1),
                "finished": len(self.results()),
                "under_way": len(list(self.output.glob("work/cifar100*"))),
                "folder_megabytes": round(sum(sizes) / 1e6, 1),
            }
        )
        sys.stderr.write(f"{self.pieces[-1]}\n")
        return int(process.returncode)

    def _wait_for_work(self, process: subprocess.Popen[bytes]) -> None:
        """Until a run notes something, or the process ends."""
        notes = {path: path.stat().st_mtime_ns for path in self.output.glob("work/*/run.json")}
        end = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < end:
            now = {path: path.stat().st_mtime_ns for path in self.output.glob("work/*/run.json")}
            if now != notes:
                return
            time.sleep(LOOK_SECONDS)

    def move(self) -> None:
        """The folder goes to another place, as between two machines."""
        self._moves += 1
        shutil.move(self.output, target := self._root / f"elsewhere-{self._moves}")
        self.output = target

    def results(self) -> list[dict[str, Any]]:
        """Of the runs that are finished."""
        paths = sorted(self.output.glob("*.json"))
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]

    def summary(self) -> dict[str, Any]:
        """What the finished suite shows."""
        results = self.results()
        shared = [result["phases"][0]["shared"]["run"] for result in results if "shared" in result["phases"][0]]
        return {
            "machine": machine(),
            "runs": self.runs,
            "finished": len(results),
            "in_pieces": sum(len(result["pieces"]) > 1 for result in results),
            "phases": sum(len(result["phases"]) for result in results),
            "phase_0_learnt": len(results) - len(shared),
            "phase_0_shared": len(shared),
            "page": (self.output / "report.md").is_file(),
            "left_in_work": len(list(self.output.glob("work/*"))),
            "pieces": self.pieces,
        }


def rehearse(root: Path, suite: str, limit: float, lines: int | None = None, rest: float = 300.0) -> dict[str, Any]:
    """Cut off, killed, moved, finished. Raises SystemExit where a piece fails or the suite does not end."""
    rehearsal = Rehearsal(root, suite, lines)
    status = rehearsal.piece(limit)
    if status:
        kill_after = float(np.random.default_rng(1993).uniform(*KILL_SECONDS))
        status = rehearsal.piece(limit, kill_after)
        rehearsal.move()
    while status:
        if len(rehearsal.pieces) > 2 + MOST:
            raise SystemExit(f"the suite did not end within {MOST} pieces of {rest:g} s: give a longer --rest")
        status = rehearsal.piece(rest)
    return rehearsal.summary()


def main() -> None:
    """Print and write what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="cifar100")
    parser.add_argument("--limit", type=float, default=30.0, help="seconds of the first pieces")
    parser.add_argument("--rest", type=float, default=300.0, help="seconds of each piece after the kill")
    parser.add_argument("--lines", type=int, help="only the first so many lines of the suite")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        show(rehearse(Path(folder), options.suite, options.limit, options.lines, options.rest), options.output)


if __name__ == "__main__":
    main()
