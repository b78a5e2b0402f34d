"""From an empty machine to a first own class answered rightly, as a newcomer goes: README's commands, then the page.

    python -m benchmarks.newcomer.run PHOTOS --output benchmarks/newcomer/result.json

Clones the repository into an empty folder, with an empty HOME and no package cache, says ``make up`` there and nothing
else in a terminal. Then headless Chromium chooses a folder of three classes from PHOTOS (a folder per class) on the
page, waits until a version is served, and tries images that are in no folder that was taught. Takes the stack's own
ports. The environment that drives it needs playwright and Chromium; the new one gets only what ``make up`` installs.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.result import machine, show

ROOT = Path(__file__).resolve().parents[2]
CLASSES, TAUGHT, TRIED = 3, 10, 5
PAGE = "http://127.0.0.1:8090/"
INSTALL_SECONDS, READY_SECONDS, PAGE_MS = 3600, 120, 120_000
KEPT = ("PATH", "LANG", "SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "http_proxy", "https_proxy", "no_proxy")
"""Of this process's environment: how the machine reaches a registry at all."""


class Clock:
    """Seconds of one step after the other."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self._last = time.monotonic()

    def done(self, step: str) -> None:
        """A step has ended now."""
        now = time.monotonic()
        self.steps[step] = round(now - self._last, 1)
        self._last = now


def program(name: str) -> str:
    """Where it is; an error that says which one is missing."""
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"no {name} on the path: install it")
    return found


def received() -> int:
    """Bytes that came in over the network, but for the machine's talk with itself."""
    lines = Path("/proc/net/dev").read_text(encoding="utf-8").splitlines()[2:]
    counts = {name.strip(): int(rest.split()[0]) for name, rest in (line.split(":", 1) for line in lines)}
    return sum(count for name, count in counts.items() if name != "lo")


def size(folder: Path) -> int:
    """Bytes on disk; a file with several names counts once."""
    seen = {(info.st_dev, info.st_ino): info.st_blocks * 512 for path in folder.rglob("*") if (info := path.lstat())}
    return sum(seen.values())


def until(what: Path, text: str, process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait for a file that has a text in it; an error when the process ends before, or after so many seconds."""
    end = time.monotonic() + seconds
    while not what.is_file() or text not in what.read_text(encoding="utf-8", errors="replace"):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"no {text!r} in {what} within {seconds} s; exit status {process.returncode}")
        time.sleep(0.05)


@contextmanager
def make_up(clone: Path, home: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``make up`` of somebody who has nothing yet; ends it as Ctrl-C does."""
    environment = {name: value for name in KEPT if (value := os.environ.get(name))}
    caches = {"XDG_CACHE_HOME": "cache", "UV_CACHE_DIR": "cache/uv", "PIP_CACHE_DIR": "cache/pip"}
    environment |= {"HOME": str(home)} | {name: str(home / path) for name, path in caches.items()}
    base = Path(sys.base_prefix) / "bin" / "python3"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program("make"), "up", f"PYTHON={base}"],
            cwd=clone,
            env=environment,
            stdout=output,
            stderr=output,
            process_group=0,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.wait(60)


def divide(photos: Path, folder: Path) -> dict[str, list[Path]]:
    """Fill ``folder`` with what is taught; by class, the images that are tried."""
    tried = {}
    for source in sorted(path for path in photos.iterdir() if path.is_dir())[:CLASSES]:
        images = sorted(path for path in source.iterdir() if path.is_file())[: TAUGHT + TRIED]
        target = folder / source.name
        target.mkdir(parents=True)
        for image in images[:TAUGHT]:
            shutil.copy(image, target)
        tried[source.name] = images[TAUGHT:]
    return tried


def ask(page: Page, image: Path) -> str:
    """The class that the page names for an image."""
    page.locator("#try-answer").evaluate("box => box.replaceChildren()")
    page.locator("#try-file").set_input_files(image)
    best = page.locator("#try-answer .best")
    expect(best).to_be_visible(timeout=PAGE_MS)
    return best.inner_text().rsplit(",", 1)[0]


def by_the_page(clock: Clock, folder: Path, tried: dict[str, list[Path]]) -> dict[str, Any]:
    """What a person does in the browser; how many answers are right. The clock ends at the first one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(PAGE)
        expect(page.locator("#current")).to_have_text("nothing learnt yet", timeout=PAGE_MS)
        clock.done("page shown")
        page.locator("#teach-folder").set_input_files(folder)
        page.get_by_role("button", name="Upload and learn").click()
        expect(page.locator("#notices")).to_contain_text("Everything has arrived", timeout=PAGE_MS)
        clock.done("uploaded")
        expect(page.locator("#served")).to_have_text("served: version 1", timeout=PAGE_MS)
        clock.done("learnt and served")
        asked = [(name, image) for name, images in tried.items() for image in images]
        answers = [ask(page, asked[0][1])]
        clock.done("first answer")
        answers += [ask(page, image) for _, image in asked[1:]]
        browser.close()
    right = [name == answer for (name, _), answer in zip(asked, answers, strict=True)]
    return {"first_answer_right": right[0], "images_tried": len(right), "images_right": sum(right)}


def main() -> int:
    """Everything once, in a folder that is removed again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of photographs per class")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lucir-newcomer-") as name:
        folder = Path(name)
        (folder / "home").mkdir()
        clone, log = folder / "lucir", folder / "make-up.log"
        tried = divide(options.photos, folder / "own")
        clock, before = Clock(), received()
        subprocess.run([program("git"), "clone", "--quiet", str(ROOT), str(clone)], check=True)
        clock.done("cloned")
        with make_up(clone, folder / "home", log) as process:
            until(clone / ".venv" / ".runtime", "", process, INSTALL_SECONDS)
            clock.done("installed")
            downloaded = received() - before
            until(log, "lucir is ready", process, READY_SECONDS)
            clock.done("ready")
            load = os.getloadavg()[0]
            answers = by_the_page(clock, folder / "own", tried)
        result = {
            "command": "python -m benchmarks.newcomer.run PHOTOS",
            "machine": machine(),
            "load_average_when_ready": round(load, 1),
            "seconds": clock.steps,
            "seconds_in_all": round(sum(clock.steps.values()), 1),
            "gb_received_until_installed": round(downloaded / 1e9, 2),
            "gb_of_environment": round(size(clone / ".venv") / 1e9, 2),
            **answers,
        }
    show(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
