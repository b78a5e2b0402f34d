"""An updater and its learning child as forks of one process that has imported everything: a start costs no seconds.

What is replaced besides ``exec``: pauses, and the wait for a server that is not there. Everything else is the
updater's own code, killed with signal 9 like any process.
"""

import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, ClassVar

import torch._dynamo  # noqa: F401  (an optimiser imports it at its first use, which would cost every fork seconds)
import torch.onnx  # noqa: F401  (as does this)

from handlers.logs import setup_logging
from handlers.settings import LogSettings, Settings
from handlers.store import open_settings_store
from handlers.updater import service
from handlers.updater.training import edit_job as editor
from handlers.updater.training import process as child
from handlers.updater.training import train_job as learner
from handlers.updater.training.__main__ import die_with_parent, serve
from lucir_core.config.phase_config import load_preset
from tools.faults.points import CountedStore, ForgetfulStore, Kill, Points, SleepyStore

PAUSE = 0.05
JOBS = {"learn": learner.run, "edit": editor.run}


def run_updater(settings: Settings, update: str, kill: Kill | None, notes: Path, pause: int | None = None) -> int:
    """Fork an updater that ends when ``update`` has ended, or is killed; return its process id.

    pause: the call of the store before which it stops itself (SIGSTOP); woken, it ends when it stands by, too.
    """
    process = os.fork()
    if process:
        return process
    try:
        _run(settings, update, kill, notes, pause)
    except BaseException:  # noqa: BLE001 (this process ends here, and its log says why)
        traceback.print_exc()
    finally:
        os._exit(1)


def wait_changed(process: int, until: float, flags: int = 0) -> int | None:
    """Wait until a forked updater has ended (``flags``: or what else ``os.waitpid`` is asked for); its wait status.

    until: seconds of ``time.monotonic()``, after which it is None.
    """
    while time.monotonic() < until:
        changed, status = os.waitpid(process, os.WNOHANG | flags)
        if changed:
            return status
        time.sleep(0.005)
    return None


def _run(settings: Settings, update: str, kill: Kill | None, notes: Path, pause: int | None) -> None:
    descriptor = os.open(settings.data / "updater.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 2)
    faulthandler.register(signal.SIGUSR1)  # for who waits in vain: where is it?
    setup_logging(LogSettings(), "updater")
    service.FIRST_PAUSE = service.LONGEST_PAUSE = service.IDLE_SECONDS = PAUSE
    points = Points(settings.data, "updater", kill, notes)
    child.subprocess.Popen = _forking(settings.data, kill, notes)  # type: ignore[attr-defined]  # its own import
    points.install()
    opened: Any = open_settings_store(settings)
    sleepy = SleepyStore(opened, pause, points) if pause is not None else None
    store: Any = CountedStore(sleepy or opened, points)
    number = kill.number if kill is not None and kill.role == "store" else None
    objects: Any = ForgetfulStore(store, number, Points(settings.data, "store", None, notes))
    config = load_preset(settings.learning.preset, settings.learning.overrides)
    updater = service.Updater(settings, config, objects)
    updater._services.wait_served = lambda *_: True  # noqa: SLF001 (no TorchServe here)
    threading.Thread(target=_end, args=(updater, update, points, objects, sleepy), name="observer", daemon=True).start()
    updater.run()


def _end(
    updater: service.Updater, update: str, points: Points, objects: ForgetfulStore, sleepy: SleepyStore | None
) -> None:
    """Leave when the update has ended: nothing is left to be done, and an orderly stop takes a second."""
    while not (_has_ended(updater, update) or (sleepy is not None and sleepy.woken.is_set() and _stands_by(updater))):
        time.sleep(PAUSE / 2)
    points.note({"calls": points.count, "store_calls": sleepy.calls if sleepy is not None else []})
    objects.note_calls()
    os._exit(0)


def _has_ended(updater: service.Updater, update: str) -> bool:
    """Whether it has, with what comes after its last document: the request taken away, old versions removed."""
    known = (updater.status.snapshot()["last_update"] or {}).get("id") == update
    return known and updater._runner is None and updater._started  # noqa: SLF001 (nobody else asks that)


def _stands_by(updater: service.Updater) -> bool:
    """Whether it knows that another is active, and has left its update: what it does on its way out counts."""
    left = updater._runner is None and not updater._started  # noqa: SLF001 (as above)
    return left and updater.status.snapshot()["lease"]["state"] == "standby"


def _forking(data: Path, kill: Kill | None, notes: Path) -> type:
    """What ``Child`` starts instead of a new interpreter."""

    class ForkedLearner:
        kills: ClassVar[list[Kill | None]] = [kill]
        """For the first child only: one that dies again and again is not a kill but a drop that cannot be learnt."""

        def __init__(self, words: list[str], **_: Any) -> None:
            point = self.kills.pop() if self.kills else None
            requests, requesting = os.pipe()
            answers, answering = os.pipe()
            self.returncode: int | None = None
            self.pid = os.fork()
            if self.pid == 0:
                os.close(requesting)
                _learn(requests, answering, int(words[3]), Points(data, "learner", point, notes))
            with suppress(ProcessLookupError, PermissionError):
                # Here too: a child of a process with threads may hang before it does so, and is killed by its group.
                os.setpgid(self.pid, self.pid)
            os.close(requests)
            os.close(answering)
            self.stdin: IO[bytes] = os.fdopen(requesting, "wb")
            self.stdout: IO[bytes] = os.fdopen(answers, "rb")

        def poll(self) -> int | None:
            if self.returncode is None:
                process, status = os.waitpid(self.pid, os.WNOHANG)
                if process:
                    self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode

        def wait(self, timeout: float = 60.0) -> int:
            end = time.monotonic() + timeout
            while (status := self.poll()) is None:
                if time.monotonic() > end:
                    raise subprocess.TimeoutExpired("learner", timeout)
                time.sleep(0.01)
            return status

        def terminate(self) -> None:
            os.kill(self.pid, 15)

    return ForkedLearner


def _learn(requests: int, answers: int, parent: int, points: Points) -> None:
    status = 1
    try:
        os.setpgid(0, 0)
        os.dup2(answers, 1)
        sys.stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
        die_with_parent(parent)
        points.install()
        jobs = {name: _noted(job, points) for name, job in JOBS.items()}
        with os.fdopen(requests, encoding="utf-8") as lines:
            status = serve(lines, sys.stdout, jobs)
    except BaseException:  # noqa: BLE001 (this process ends here, and its log says why)
        traceback.print_exc()
    finally:
        os._exit(status)


def _noted(job: Callable[[Path], int], points: Points) -> Callable[[Path], int]:
    """Note after a job how many calls the process has made until then."""

    def run(folder: Path) -> int:
        status = job(folder)
        points.note({"calls": points.count})
        return status

    return run
