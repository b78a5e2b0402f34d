"""Debian's Chromium, driven by playwright: pages as a person sees them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

PROGRAM = shutil.which("chromium")
WAIT_MS = 60_000
"""Much longer than anything takes, and shorter than the test's own limit."""
SERIOUS = {"serious", "critical"}

needs_browser = pytest.mark.skipif(
    PROGRAM is None and not os.environ.get("CI"), reason="no chromium: apt-get install chromium (.ci/run does)"
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser."""
    assert PROGRAM is not None, "no chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, url: str, **context: object) -> Iterator[Page]:
    """A page in a window of its own; what its console complains of fails the test at the end."""
    with browser.new_context(**context) as window:  # type: ignore[arg-type]
        window.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        page = window.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type == "error" and "Failed to load resource" not in message.text
                else None
            ),
        )
        page.goto(url)
        yield page
        assert complaints == []


def look(page: Page) -> None:
    """Our page asks now, not with its next turn."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def findings(page: Page) -> list[str]:
    """What axe-core finds serious or critical, in a line each."""
    result = Axe().run(page)
    return [
        f"{rule['id']}: {rule['help']}: {[node['html'][:120] for node in rule['nodes'][:3]]}"
        for rule in result.response["violations"]
        if rule["impact"] in SERIOUS
    ]
