"""A soak: drops in a row with random kills, pauses and constant prediction load; memory of every process, by role.

    python -m benchmarks.soak.run --output benchmarks/soak

A real stack (``lucir up``) with a tiny network learns scikit-learn's digits in 30 drops: two classes, then one more at
a time, then more images of known ones. At a random moment of each drop the updater, its learning child, or nothing is
killed, or stopped for some seconds (SIGSTOP) as on a machine that sleeps; in the last drops TorchServe's worker is
killed, and with it what it was answering: such an image is asked about again, as ``handlers.client.Client`` does, and
counted.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.soak.memory import ROLES, Memory, flatness, plot, role_of
from handlers.client.asking import TRIES
from handlers.demo.digits import split_digits
from handlers.demo.load import LoadClient
from handlers.demo.stack import DemoStack
from handlers.stack.folder import StackRecord
from handlers.torchserve.model_status import PREDICTIONS_PATH
from tools.processes import FAST, process_tree

DIGITS = split_digits(0)
PER_DROP = 10
LONGEST_DELAY = 6.0
LONGEST_PAUSE = 12.0
DISTURBED = ("updater", "learning child", "learning child", None)
WORKER_SHARE = 0.2
"""Of the drops, at the end: those in which TorchServe's worker is killed."""
PATIENCE = 240.0


@dataclass(frozen=True)
class Stack:
    """The running stack: its addresses, its data folder, what it has written."""

    record: StackRecord
    data: Path
    log: Path

    def served(self) -> int | None:
        """The version that answers a request."""
        url = self.record.inference_url + PREDICTIONS_PATH
        try:
            answer = httpx.post(url, content=DIGITS.test["0"][0], timeout=60, trust_env=False).json()
        except (httpx.HTTPError, ValueError):
            return None
        version: int | None = answer.get("model_version")
        return version


@dataclass
class Drop:
    """What was dropped, what was killed meanwhile, and how long it took to be served."""

    number: int
    folder: str
    killed: str | None
    paused: str | None
    at: float
    """When, in seconds since the epoch."""
    seconds: float


def find(stack: Stack, role: str) -> psutil.Process | None:
    """A process of the stack by its role."""
    for process in process_tree(stack.record.pid):
        try:
            if role_of(process) == role:
                return process
        except psutil.Error:
            continue
    return None


def put(stack: Stack, number: int) -> str:
    """Drop the folders of one update, as a file manager would."""
    digits = "01" if number == 0 else str((number + 1) % 10)
    round_ = 0 if number == 0 else (number + 1) // 10
    for digit in digits:
        folder = stack.data / "store" / "incoming" / digit
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(round_ * PER_DROP, (round_ + 1) * PER_DROP):
            (folder / f"{index}.png").write_bytes(DIGITS.train[digit][index])
    for digit in digits:
        (stack.data / "store" / "incoming" / digit / "_READY").touch()
    return digits


def disturb(stack: Stack, role: str, delay: float, pause: float | None) -> str | None:
    """Wait a moment, then kill it with signal 9 if it is there, or stop it for so many seconds."""
    if role == "learning child":
        end = time.monotonic() + 30
        while (process := find(stack, role)) is None and time.monotonic() < end:
            time.sleep(0.05)
        delay /= 2
    time.sleep(delay)
    process = find(stack, role)
    if process is None:
        return None
    if pause is None:
        process.kill()
        return role
    process.suspend()
    try:
        time.sleep(pause)
    finally:
        with suppress(psutil.NoSuchProcess):  # killed meanwhile, by whoever guards it
            process.resume()
    return role


def wait_served(stack: Stack, number: int) -> None:
    """Until the update has ended and its version answers."""
    done = stack.data / "store" / "updates" / f"{number + 1:06d}" / "done.json"
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if done.exists() and stack.served() == json.loads(done.read_bytes())["version"]:
            return
        time.sleep(0.25)
    log = stack.log.read_text(encoding="utf-8", errors="replace")
    raise RuntimeError(f"drop {number} was not served within {PATIENCE:.0f} s:\n{log[-3000:]}")


def soak(stack: Stack, drops: int, seed: int, limit: float) -> list[Drop]:
    """One drop after the other."""
    chance, started = random.Random(seed), time.monotonic()  # noqa: S311 (which process dies is no secret)
    result = []
    for number in range(drops):
        began, digits = time.monotonic(), put(stack, number)
        role = chance.choice(DISTURBED)
        pause = chance.choice((None, chance.uniform(1, LONGEST_PAUSE)))
        if number >= drops * (1 - WORKER_SHARE):
            role, pause = "TorchServe worker", None
        at, met = time.time(), None
        if role is not None and number:
            met = disturb(stack, role, chance.uniform(0, LONGEST_DELAY), pause)
            at = time.time() if met else at
        wait_served(stack, number)
        killed, paused = (met, None) if pause is None else (None, met)
        result.append(Drop(number, digits, killed, paused, at, round(time.monotonic() - began, 1)))
        sys.stderr.write(f"{result[-1]}\n")
        if time.monotonic() - started > limit:
            break
    return result


def originals(stack: Stack) -> Counter[str]:
    """How often each archived original lies in the archive, by content."""
    archive = stack.data / "store" / "archive"
    return Counter(path.read_bytes().hex() for path in archive.rglob("*.png"))


def run(drops: int, seed: int, limit: float) -> tuple[dict[str, Any], list[tuple[float, dict[str, int]]]]:
    """The whole soak."""
    options = [word for setting in FAST for word in ("--set", setting)]
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="lucir-soak-")))
        data, log = folder / "data", folder / "stack.log"
        stack = Stack(exits.enter_context(DemoStack(data, log, options)), data, log)
        started, memory = time.monotonic(), Memory(stack.record.pid)
        memory.begin()
        images = [DIGITS.test[digit][0] for digit in "01"]
        with LoadClient(stack.record.inference_url, images, tries=TRIES) as client:
            done = soak(stack, drops, seed, limit)
            requests = client.requests()
        memory.end()
        archived = originals(stack)
        left = list((stack.data / "store" / "incoming").rglob("*.png"))
        versions = len(list((stack.data / "store" / "versions").glob("*/manifest.json")))
        if os.environ.get("SOAK_KEEP_LOG"):
            shutil.copy(stack.log, os.environ["SOAK_KEEP_LOG"])
    failed = [request for request in requests if request.result == "failed"]
    expected = PER_DROP * (len(done) + 1)
    result = {
        "command": f"python -m benchmarks.soak.run --drops {drops} --seed {seed}",
        "drops": len(done),
        "versions": versions,
        "killed": dict(Counter(drop.killed for drop in done if drop.killed)),
        "paused": dict(Counter(drop.paused for drop in done if drop.paused)),
        "requests": len(requests),
        "failed_requests": len(failed),
        "asked_again": sum(request.tries > 1 for request in requests),
        "problems": [f"{request.began:.0f} ({request.tries} tries): {request.problem}" for request in failed],
        "longest_request_seconds": round(max(request.seconds for request in requests), 2),
        "images_dropped": expected,
        "images_lost": expected - len(archived),
        "images_doubled": sum(count - 1 for count in archived.values()),
        "images_left_in_incoming": len(left),
        "resident_memory_bytes": {role: flatness(memory.samples, role) for role in ROLES},
        "seconds": round(time.monotonic() - started),
        "each_drop": [{**asdict(drop), "at": round(drop.at)} for drop in done],
    }
    return result, memory.samples


def main() -> int:
    """Soak; 1 when something was lost, doubled, or failed that must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drops", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--time-limit", type=float, default=1e9, help="seconds after which no new drop is begun")
    parser.add_argument("--output", type=Path, help="folder for result.json and memory.png")
    options = parser.parse_args()
    result, samples = run(options.drops, options.seed, options.time_limit)
    text = json.dumps(result, indent=2) + "\n"
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "result.json").write_text(text, encoding="utf-8")
        plot(samples, options.output / "memory.png")
    sys.stdout.write(text)
    wrong = ("failed_requests", "images_lost", "images_doubled", "images_left_in_incoming")
    return 1 if any(result[name] for name in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
