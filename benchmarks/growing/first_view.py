"""How soon the operator's page shows a store of 100 versions of 1,000 classes: in headless Chromium, cold and warm.

    python -m benchmarks.growing.first_view --output benchmarks/growing/first_view.json

Cold: an updater that has read no version yet, and a browser window that has loaded nothing. Warm: the page loaded again
in that window. From the start of the navigation to the first contentful paint, and until the figures and the chart
are drawn; and the bytes of all that is loaded until then and in the moment after.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request, sync_playwright

from benchmarks.result import machine, show
from handlers.settings import Settings
from handlers.sidecar.http import WebServer
from handlers.updater.http.app import make_app
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from tools.large_store import fill_store

VERSIONS, CLASSES, TIMES = 100, 1000, 7
DRAWN = """window.drawn = new Promise((resolve) => {
    new MutationObserver((_, watcher) => {
        const figures = document.querySelector("#tiles")?.textContent ?? "";
        if (!document.querySelector("#chart svg[role=img]") || !figures.includes("%d")) return;
        watcher.disconnect();
        requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
    }).observe(document, {subtree: true, childList: true, characterData: true});
});"""
"""Notes in the page itself when the frame with figures and chart has been drawn."""
TIMING = """Promise.all([window.drawn, new Promise((resolve) => {
    new PerformanceObserver((list) => list.getEntriesByName("first-contentful-paint").forEach(resolve))
        .observe({type: "paint", buffered: true});
})]).then(([drawn, paint]) => ({
    answered: performance.getEntriesByType("navigation")[0].responseEnd,
    painted: paint.startTime,
    drawn,
}))"""
"""A paint may be told of a moment after it."""


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--versions", type=int, default=VERSIONS)
    parser.add_argument("--classes", type=int, default=CLASSES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lucir-view-") as folder:
        figures = measure(Path(folder), options.versions, options.classes)
    show({"machine": machine(), "versions": options.versions, "classes": options.classes, **figures}, options.output)


def measure(folder: Path, versions: int, classes: int) -> dict[str, Any]:
    """Milliseconds and bytes; the median and the longest of several first views."""
    store = DirectoryStore(folder / "store")
    fill_store(store, folder, versions=versions, classes=classes)
    program = shutil.which("chromium")
    if program is None:
        raise RuntimeError("no chromium: apt-get install chromium")
    views: list[tuple[dict[str, float], dict[str, float]]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        for _ in range(TIMES):
            updater = Updater(Settings(data=folder / "data"), load_preset("digits"), store)
            updater.status.set_versions(versions, versions, None)
            server = WebServer(make_app(updater), "127.0.0.1", 0)
            server.start()
            try:
                views.append(first_and_second(browser, f"http://127.0.0.1:{server.port}", classes))
            finally:
                server.stop()
        browser.close()
    return {
        "load": round(os.getloadavg()[0], 1),
        "cold": summary([cold for cold, _ in views]),
        "warm": summary([warm for _, warm in views]),
    }


def first_and_second(browser: Browser, url: str, classes: int) -> tuple[dict[str, float], dict[str, float]]:
    """The page in a new window, then once more."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as window:
        window.add_init_script(DRAWN % classes)
        page = window.new_page()
        return view(page, url), view(page, url)


def view(page: Page, url: str) -> dict[str, float]:
    """Milliseconds of one load, and its bytes as they came over the wire."""
    finished: list[Request] = []

    def note(request: Request) -> None:
        finished.append(request)

    page.on("requestfinished", note)
    page.goto(url)
    timing: dict[str, float] = page.evaluate(TIMING)
    page.wait_for_load_state("networkidle")
    page.remove_listener("requestfinished", note)
    sizes = [request.sizes() for request in finished]
    return timing | {
        "requests": len(finished),
        "bytes": sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes),
    }


def summary(views: list[dict[str, float]]) -> dict[str, dict[str, int]]:
    """Of each figure the median and the largest."""
    return {
        name: {"median": round(statistics.median(found)), "most": round(max(found))}
        for name in views[0]
        for found in [[one[name] for one in views]]
    }


if __name__ == "__main__":
    main()
