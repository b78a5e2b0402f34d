"""The updater as a real process: ``python process.py SETTINGS [step:before|after [CLOCK]]``.

It kills itself at that boundary; the file CLOCK, if given, says by how many seconds its wall clock is wrong.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from handlers.setting_values import load_settings
from handlers.settings import Settings
from tests.support.waiting import STOP_SECONDS, wait_for


def start(settings: Settings, crash: str = "", clock: Path | None = None) -> "subprocess.Popen[bytes]":
    """Start an updater with these settings; its log goes to ``<data>/updater.log``."""
    settings.data.mkdir(parents=True, exist_ok=True)
    config = settings.data / "settings.json"
    config.write_text(settings.model_dump_json(exclude={"s3"}))
    with (settings.data / "updater.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.processes.updater_process", str(config), crash, str(clock or "")],
            stderr=log,
            cwd=Path(__file__).parents[3],
        )


def end(process: "subprocess.Popen[bytes]") -> None:
    """As an operator does; nothing is wrong."""
    process.terminate()
    assert process.wait(STOP_SECONDS) == 0


def log_of(settings: Settings) -> str:
    """What the updaters of a test have written."""
    return (settings.data / "updater.log").read_text()


def status_of(settings: Settings) -> dict[str, Any]:
    """``/api/status``, or nothing while the updater does not answer."""
    try:
        status: dict[str, Any] = httpx.get(f"{settings.updater_url}/api/status", timeout=60, trust_env=False).json()
    except httpx.HTTPError:
        return {}
    return status


def child_of(process: "subprocess.Popen[bytes]") -> int | None:
    """The learning child of an updater, while there is one: at work, or getting ready for it."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
    return int(children[0]) if children else None


def hold_child(settings: Settings, process: "subprocess.Popen[bytes]", step: str = "learn") -> int:
    """Wait until the child is to do this step, and stop it before: it stays there until it is continued or killed."""

    def held() -> int | None:
        child = child_of(process)
        with suppress(ProcessLookupError, FileNotFoundError):
            # Not yet between fork and exec: the updater waits for that.
            if child is None or b"handlers.updater.training" not in Path(f"/proc/{child}/cmdline").read_bytes():
                return None
            os.kill(child, signal.SIGSTOP)
        return child if (status_of(settings).get("phase") or {}).get("step") == step else None

    return wait_for(held, process)


def _crashing(spec: str) -> None:
    """Run the updater's own main, with one step that kills the process before or after its work."""
    from handlers.updater import __main__, service

    name, _, when = spec.partition(":")

    def wrap(step: service.Step) -> service.Step:
        def run(update: Any) -> None:
            if when == "after":
                step.run(update)
            os.kill(os.getpid(), signal.SIGKILL)

        return replace(step, run=run) if step.name == name else step

    steps = tuple(wrap(step) for step in service.STEPS)
    settings = load_settings(overrides=json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    updater = __main__.make_updater(settings, steps)
    sys.exit(__main__.serve(settings, updater))


def _set_by(clock: Path) -> None:
    """Both functions that our code reads the wall clock by; called before anything that imports them by name."""
    from model_store import manifest

    right, right_now = time.time, manifest.now

    def wrong() -> float:
        return float(clock.read_text(encoding="utf-8"))

    time.time = lambda: right() + wrong()
    manifest.now = lambda: right_now() + timedelta(seconds=wrong())


if __name__ == "__main__":
    if sys.argv[3]:
        _set_by(Path(sys.argv[3]))
    from handlers.logs import setup_logging
    from handlers.settings import LogSettings

    setup_logging(LogSettings(), "updater")
    _crashing(sys.argv[2])
