"""Kill an update at random I/O calls and compare with the undisturbed one.

    python -m tools.faults.kills --points 200 --output benchmarks/faults/kills.json

Each point: a copy of a store with one learnt version and a drop (a new class, more of a known one, a duplicate, a
broken file); an updater that is killed with signal 9 at the chosen call of itself or of its learning child (a quarter
of the points: a second time, in the recovery); then an updater that runs to the end. The archive must be byte-equal to
the undisturbed one, with the same classes, the same weights, nothing left in ``incoming/``.

``--kind provisional`` is the same with ``learning.imprint_first``; ``--kind edit`` deletes three images instead, and
``--kind relearn`` learns everything again with a head on a frozen backbone.
With ``--answers`` nobody is killed: a call of the store is carried out, but its answer does not arrive; each call once
before any of them twice.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from lucir_core.runtime.threads import wait_asleep

wait_asleep()

import numpy as np  # noqa: E402  (torch is imported by what follows, after the line above)
from sklearn.datasets import load_digits  # noqa: E402

from handlers.bucket.edit_documents import DeleteImages, Operation, Relearn  # noqa: E402
from handlers.bucket.edit_requests import EditDesk  # noqa: E402
from handlers.bucket.updates import UpdateRecords  # noqa: E402
from handlers.demo.digits import png  # noqa: E402
from handlers.settings import Settings  # noqa: E402
from model_store.directory.directory_store import DirectoryStore  # noqa: E402
from tools.faults.forked import run_updater, wait_changed  # noqa: E402
from tools.faults.outcome import counts, differences, expected_of, outcome  # noqa: E402
from tools.faults.points import Kill  # noqa: E402
from tools.processes import process_tree  # noqa: E402

LEARNER_KILLS = 0.2
"""Of all kills; the updater makes thirty times as many calls."""
SECOND_KILLS = 0.25
DELAYED_KILLS = 0.4
LONGEST_DELAY = 0.15
PATIENCE = 120.0


UPDATE = "000002"
"""The one that is killed."""
FROZEN = {"network": "resnet8", "method": "analytic", "head": "analytic", "frozen": True, "size": 32, "resize": 32}
KINDS = ("drop", "provisional", "edit", "relearn")


def settings_in(data: Path, kind: str) -> Settings:
    """A tiny network that hardly trains: what is tested is that each step happens once."""
    return Settings.model_validate(
        {
            "data": data,
            "updater": {"settle_seconds": 0, "min_images": 2, "poll_seconds": 1, "pointer_seconds": 5},
            "learning": {
                "preset": "digits",
                "overrides": {
                    "network": "resnet8",
                    "size": 8,
                    "resize": 8,
                    "epochs": 2,
                    "exemplars_per_class": 3,
                    "cbf": {"enabled": True, "epochs": 1, "milestones": []},
                },
                "device": "cpu",
                "threads": 1,
                "nice": 0,
                "imprint_first": kind == "provisional",
            },
            "gate": {"max_old_accuracy_loss": 1.0, "min_new_accuracy": 0.0},
        }
    )


class Walk:
    """The base store, the undisturbed run, and one killed run after the other, all below ``folder``."""

    def __init__(self, folder: Path, seed: int, kind: str = "drop", *, answers: bool = False) -> None:
        self._folder = folder
        self._kind = kind
        self._answers = answers
        self._unanswered: list[int] = []
        self._random = random.Random(seed)
        self.base = folder / "base"
        self.undisturbed = folder / "undisturbed"
        self.calls: dict[str, int] = {}
        self._expected: dict[str, Any] = {}

    def prepare(self) -> None:
        """Learn version 1, ask for the second update, and see what an undisturbed run makes of it."""
        self._drop(self.base, {"zero": (0, 0, 8), "one": (1, 0, 8)})
        self._finish(self.base, "000001", None)
        if self._kind == "edit":
            self._ask(self.base, self._deletion(self.base))
        elif self._kind == "relearn":
            self._ask(self.base, Relearn(preset="digits", overrides=FROZEN))
        else:
            self._drop(self.base, {"two": (2, 0, 8), "one": (1, 20, 6), "zero": (0, 0, 1)})
            (self.base / "store/incoming/two/broken.png").write_bytes(b"no image")
        data = self._copy(self.undisturbed.name)
        self._finish(data, UPDATE, None)
        self._expected = outcome(DirectoryStore(data / "store"))
        assert self._expected["updates"][UPDATE]["result"] == "published", self._expected["updates"]
        for line in (data / "notes").read_text(encoding="utf-8").splitlines():
            note = json.loads(line)
            self.calls[note["role"]] = note["calls"]

    def point(self, index: int) -> dict[str, Any]:
        """Kill once or twice, recover, compare."""
        data = self._copy(f"point-{index}")
        kills = [self._choose()]
        if self._random.random() < SECOND_KILLS:
            kills.append(self._choose())
        started = time.monotonic()
        for kill in kills:
            self._finish(data, UPDATE, kill)
        self._finish(data, UPDATE, None)
        found = outcome(DirectoryStore(data / "store"))
        expected = expected_of(found, self._expected)
        lost, doubled = counts(found, expected)
        notes = [json.loads(line) for line in (data / "notes").read_text(encoding="utf-8").splitlines()]
        result = {
            "kills": [note for note in notes if "at" in note],
            "lost": lost,
            "doubled": doubled,
            "differences": differences(found, expected),
            "seconds": round(time.monotonic() - started, 2),
        }
        if not result["differences"]:
            shutil.rmtree(data)
        return result

    def _choose(self) -> Kill:
        """Within a process every call is as likely as any other."""
        if self._answers:
            if not self._unanswered:
                self._unanswered = self._random.sample(range(1, self.calls["store"] + 1), self.calls["store"])
            return Kill("store", self._unanswered.pop())
        role = "learner" if self._random.random() < LEARNER_KILLS else "updater"
        delay = self._random.uniform(0, LONGEST_DELAY) if self._random.random() < DELAYED_KILLS else 0.0
        return Kill(role, self._random.randint(1, self.calls[role]), delay)

    def _copy(self, name: str) -> Path:
        data = self._folder / name
        shutil.copytree(self.base, data)
        (data / "notes").unlink()
        (data / "updater.log").unlink()
        return data

    @staticmethod
    def _ask(data: Path, operation: Operation) -> None:
        store = DirectoryStore(data / "store")
        EditDesk(store, UpdateRecords(store)).submit(operation)

    @staticmethod
    def _deletion(data: Path) -> DeleteImages:
        """Of three archived images, among them exemplars or not."""
        store = DirectoryStore(data / "store")
        images = sorted(info.key for info in store.list("archive/"))[:9:4]
        return DeleteImages(hashes=tuple(hashlib.sha256(store.read(key)).hexdigest() for key in images))

    @staticmethod
    def _drop(data: Path, folders: dict[str, tuple[int, int, int]]) -> None:
        digits = load_digits()
        for name, (digit, first, count) in folders.items():
            folder = data / "store" / "incoming" / name
            folder.mkdir(parents=True)
            scans = digits.images[digits.target == digit][first : first + count]
            for index, scan in enumerate(np.asarray(scans)):
                (folder / f"{digit}-{first + index:03d}.png").write_bytes(png(scan, 16))
            (folder / "_READY").touch()

    def _finish(self, data: Path, update: str, kill: Kill | None) -> None:
        """Run an updater until the update has ended or the updater was killed."""
        process = run_updater(settings_in(data, self._kind), update, kill, data / "notes")
        status = wait_changed(process, time.monotonic() + PATIENCE)
        if status is None:
            tell_where(process)
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise AssertionError(
                f"not within {PATIENCE:.0f} s after {kill}: {(data / 'updater.log').read_text(encoding='utf-8')}"
            )
        code = os.waitstatus_to_exitcode(status)
        allowed = {0, -signal.SIGKILL} if kill is not None and kill.role == "updater" else {0}
        assert code in allowed, f"status {code} after {kill}: {(data / 'updater.log').read_text(encoding='utf-8')}"


def tell_where(process: int) -> None:
    """Let an updater that does not end, and its learner, write to the log where they are."""
    for one in process_tree(process):
        one.send_signal(signal.SIGUSR1)
    time.sleep(1.0)  # they write some kilobytes; nothing tells when they have


def summary(
    results: list[dict[str, Any]], calls: dict[str, int], options: argparse.Namespace, seconds: float
) -> dict[str, Any]:
    """The result as it is written down."""
    killed = [kill for result in results for kill in result["kills"]]
    return {
        "command": "python -m tools.faults.kills "
        f"--points {len(results)} --seed {options.seed} --kind {options.kind}{' --answers' * options.answers}",
        "points": len(results),
        "kills": len(killed),
        "kills_by_process": dict(Counter(kill["role"] for kill in killed)),
        "kills_by_call": dict(Counter(_kind(kill["at"]) for kill in killed).most_common()),
        "calls_of_an_undisturbed_update": calls,
        "images_lost": sum(result["lost"] for result in results),
        "images_doubled": sum(result["doubled"] for result in results),
        "runs_that_differ": [result for result in results if result["differences"]],
        "seconds": round(seconds, 1),
    }


def _kind(call: str) -> str:
    """A call without what is below the first folder: ``os.rename /work``, ``after store.upload versions``."""
    head, slash, path = call.partition("/")
    return f"{head}/{path.split('/')[0]}" if slash and head.endswith(" ") else head


def main(arguments: list[str]) -> int:
    """Walk; return 0 when no run differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS, default="drop", help="what kind of update is killed")
    parser.add_argument("--answers", action="store_true", help="lose answers of the store instead of killing")
    parser.add_argument("--output", type=Path, help="where the result is written as JSON")
    parser.add_argument("--time-limit", type=float, default=1e9, help="seconds after which no new point is begun")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lucir-kills-", ignore_cleanup_errors=True) as folder:
        walk = Walk(Path(folder), options.seed, options.kind, answers=options.answers)
        walk.prepare()
        results = []
        for index in range(options.points):
            results.append(walk.point(index))
            result = summary(results, walk.calls, options, time.monotonic() - started)
            if options.output is not None:  # after each point: a long walk may be cut short
                options.output.parent.mkdir(parents=True, exist_ok=True)
                options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
            if time.monotonic() - started > options.time_limit:
                break
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 1 if result["runs_that_differ"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
