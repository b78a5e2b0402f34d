"""Real stacks for the end-to-end tests: ``lucir up`` as a user starts it, real images, a network that learns fast."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from handlers.demo.digits import split_digits
from handlers.settings import Settings
from handlers.stack.folder import StackRecord, find_stack
from model_store.directory.directory_store import DirectoryStore
from tests.support.waiting import PATIENCE, STOP_SECONDS, lives, wait_for
from tools.processes import FAST, process_tree

LUCIR = (sys.executable, "-m", "handlers.cli.main")
DIGITS = split_digits(0)


def wait_gone(processes: list[psutil.Process], patience: float = STOP_SECONDS) -> None:
    """All end in time."""
    wait_for(lambda: not any(map(lives, processes)), patience=patience)


def environment() -> dict[str, str]:
    """This process's environment without settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LUCIR_")}


class Stack:
    """A running ``lucir up``."""

    def __init__(self, data: Path, *options: str, settings: tuple[str, ...] = FAST) -> None:
        self.data = data
        self.log = data.parent / f"{data.name}.log"
        words = [word for assignment in settings for word in ("--set", assignment)]
        command = [*LUCIR, "up", "--data", str(data), "--free-ports", *words, *options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            self.record: StackRecord = wait_for(self._ready)
        except BaseException:
            self.process.kill()  # its guards end the rest, which would slow down the tests that follow
            raise

    def _ready(self) -> StackRecord | None:
        assert self.process.poll() is None, self.output()
        record = find_stack(Settings(data=self.data))
        return record if record is not None and record.ready else None

    def output(self) -> str:
        """Everything the stack has written."""
        return self.log.read_text(errors="replace")

    @property
    def store(self) -> DirectoryStore:
        """Its object store."""
        return DirectoryStore(self.data / "store")

    def run(self, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of ``lucir`` on this stack."""
        command = [*LUCIR, *map(str, arguments), "--data", str(self.data)]
        # Where it runs no more, it is looked for at the port that it had, and not at the usual one.
        known = {**environment(), "LUCIR_UPDATER__PORT": str(urlsplit(self.record.updater_url).port)}
        answer = subprocess.run(command, env=known, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert not check or answer.returncode == 0, answer.stdout + answer.stderr
        return answer

    def drop(self, folder: Path) -> dict[str, Any]:
        """``lucir drop FOLDER --wait``; gives the outcome."""
        outcome: dict[str, Any] = json.loads(self.run("drop", folder, "--wait", "--json").stdout)["outcome"]
        return outcome

    def post(self, image: bytes) -> httpx.Response:
        """Classify."""
        return httpx.post(f"{self.record.inference_url}/predictions/lucir", content=image, timeout=60, trust_env=False)

    def status(self) -> dict[str, Any]:
        """``/api/status``; empty while the updater does not answer."""
        try:
            document: dict[str, Any] = httpx.get(
                f"{self.record.updater_url}/api/status", timeout=60, trust_env=False
            ).json()
        except httpx.HTTPError:
            return {}
        return document

    def served(self) -> int | None:
        """The version that answers a request."""
        try:
            version: int | None = self.post(digit_image("0")).json().get("model_version")
        except httpx.HTTPError:
            return None
        return version

    def process_like(self, pattern: str) -> psutil.Process:
        """The one process of the stack whose command line matches."""
        matching = []
        for process in process_tree(self.process.pid):
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if re.search(pattern, " ".join(words)) and "guard.py" not in " ".join(words):
                matching.append(process)
        assert matching, f"no process like {pattern}"
        return matching[0]

    def learns(self) -> bool:
        """Whether an update is at its learning."""
        return (self.status().get("phase") or {}).get("step") == "learn"

    def held_learner(self) -> psutil.Process:
        """The learning child, stopped while its update learns: so short a step is else over before it is seen."""

        def held() -> psutil.Process | None:
            with suppress(AssertionError, psutil.NoSuchProcess):
                learner = self.process_like("handlers.updater.training")
                learner.suspend()  # it is there sooner than at work
                return learner if self.learns() else None
            return None

        return wait_for(held, self.process)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop it as Ctrl-C does; in time, and nothing may be left."""
        processes = process_tree(self.process.pid)
        self.process.send_signal(number)
        self.process.wait(STOP_SECONDS)
        wait_gone(processes, 3.0)


@contextmanager
def running(data: Path, *options: str, settings: tuple[str, ...] = FAST) -> Iterator[Stack]:
    """A stack that is stopped, or killed when a test has failed, at the end."""
    stack = Stack(data, *options, settings=settings)
    try:
        yield stack
    finally:
        try:
            if stack.process.poll() is None:
                stack.stop()
        finally:
            stack.process.kill()


def digit_image(digit: str, index: int = 0) -> bytes:
    """A digit that is never dropped."""
    return DIGITS.test[digit][index]


def folders(root: Path, digits: str, first: int = 0, count: int = 24) -> Path:
    """Class folders of digits, as a user would make them."""
    for digit in digits:
        (root / digit).mkdir(parents=True, exist_ok=True)
        for index, data in enumerate(DIGITS.train[digit][first : first + count]):
            (root / digit / f"{first + index}.png").write_bytes(data)
    return root
