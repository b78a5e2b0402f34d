"""The updater as a real process: ``python process.py [step:before|after]`` kills itself at that boundary."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from handlers.settings import Settings


def start(settings: Settings, crash: str = "") -> "subprocess.Popen[bytes]":
    """Start an updater with these settings; its log goes to ``<data>/updater.log``."""
    settings.data.mkdir(parents=True, exist_ok=True)
    config = settings.data / "settings.json"
    config.write_text(settings.model_dump_json(exclude={"s3"}))
    with (settings.data / "updater.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.handlers.updater.process", str(config), crash],
            stderr=log,
            cwd=Path(__file__).parents[3],
        )


def log_of(settings: Settings) -> str:
    """What the updaters of a test have written."""
    return (settings.data / "updater.log").read_text()


def status_of(settings: Settings) -> dict[str, Any]:
    """``/api/status``, or nothing while the updater does not answer."""
    try:
        status: dict[str, Any] = httpx.get(f"{settings.updater_url}/api/status", timeout=5).json()
    except httpx.HTTPError:
        return {}
    return status


def wait_until(what: Callable[[], Any], process: "subprocess.Popen[bytes]", seconds: float = 120) -> Any:
    """Wait until ``what`` returns something true; the process must live on meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        if process.poll() is not None:
            raise AssertionError(f"the updater ended with status {process.returncode}")
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def child_of(process: "subprocess.Popen[bytes]") -> int | None:
    """The learning child of an updater, while there is one."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if children else None


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
    settings = Settings.model_validate(json.loads(Path(sys.argv[1]).read_text()))
    updater = __main__.make_updater(settings, steps)
    sys.exit(__main__.serve(settings, updater))


if __name__ == "__main__":
    from handlers.logs import setup_logging
    from handlers.settings import LogSettings

    setup_logging(LogSettings(), "updater")
    _crashing(sys.argv[2])
