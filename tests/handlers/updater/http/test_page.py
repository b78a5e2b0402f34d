"""The page in a browser: what it shows, that it stays as it is while it is looked at, and that everybody can use it."""

import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from handlers.updater.http import page as page_module
from handlers.updater.metrics import UPDATE_RESULTS
from handlers.updater.pace import Pace
from handlers.updater.service import Updater
from handlers.updater.status import Phase
from handlers.updater.workflow.edit_steps import EDIT_STEPS
from handlers.updater.workflow.learn_steps import STEPS as LEARN_STEPS
from handlers.updater.workflow.relearn_steps import RELEARN_STEPS
from model_store.directory.directory_store import DirectoryStore
from tests.support.page.browser import findings, look, needs_browser, opened
from tests.support.page.hands import DESKTOP, PHONE
from tests.support.stores.learnt_store import LearntStore
from tools.large_store import fill_store

pytestmark = needs_browser

VIEWS = ("home", "classes", "versions", "files")
LEAST_LETTERS = 11
"""CSS pixels of the smallest letters."""


@pytest.fixture
def address(client: httpx.Client, learnt: LearntStore, updater: Updater) -> str:
    """A page that has something in each of its parts."""
    updater.status.set_versions(1, 1, None)
    pace = Pace(began=(0.0, time.monotonic() - 3600))
    updater.status.set_phase(Phase(update="000002", step="learn", new_classes=("owl",), images=12, pace=pace))
    updater.status.update_phase(progress=0.4, losses={"cross_entropy": 1.0})
    for progress in (0.1, 0.2, 0.3):
        updater.status.add_loss(progress, 1 - progress)
    waiting = {"class": "bat", "images": 3, "others": 0, "state": "failed", "reason": "set aside: it failed"}
    updater.status.set_waiting([waiting])
    updater.status.add_error("store", "<b>gone</b>")
    return str(client.base_url)


def loaded(page: Page, view: str) -> None:
    """The view with what it loads."""
    page.get_by_role("navigation").get_by_role("link", name=view.capitalize()).click()
    first = {"home": "#tiles dd", "classes": ".card img", "versions": ".version", "files": "#rejected form"}[view]
    page.locator(first).first.wait_for()


@pytest.mark.parametrize(
    "window",
    [
        pytest.param(DESKTOP, marks=pytest.mark.slow, id="desktop"),
        pytest.param(DESKTOP | {"color_scheme": "dark"}, marks=pytest.mark.slow, id="dark"),
        pytest.param(PHONE, id="phone"),
    ],
)
def test_everybody_can_use_each_view(browser: Browser, address: str, window: dict[str, Any]) -> None:
    with opened(browser, address, **window) as page:
        for view in VIEWS:
            loaded(page, view)
            for words in page.locator("#chart text").all() if view == "home" else ():
                assert words.evaluate("node => 12 * node.getScreenCTM().a") >= LEAST_LETTERS, words.text_content()
                assert words.evaluate("node => node.getBBox().x") >= 0, f"{words.text_content()} is cut off"
            assert findings(page) == [], view
            assert page.evaluate("document.documentElement.scrollWidth") <= window["viewport"]["width"], view
        loaded(page, "classes")
        page.get_by_role("button", name="zero").click()
        page.locator(".originals img").first.wait_for()
        assert findings(page) == []


def test_what_is_looked_at_stays_while_the_rest_is_updated(
    browser: Browser, address: str, updater: Updater, store: DirectoryStore
) -> None:
    with opened(browser, address, **DESKTOP) as page:
        loaded(page, "versions")
        page.get_by_text("Use it elsewhere").click()
        expect(page.locator(".version pre")).to_contain_text("onnxruntime")
        page.evaluate("getSelection().selectAllChildren(document.querySelector('.changed'))")
        page.get_by_label("Compare version 1").focus()
        updater.status.set_versions(1, None, "the server is being started")
        look(page)
        expect(page.locator("#served")).to_have_text("no version is served")
        expect(page.locator(".version .chip")).to_have_text("current")
        assert page.evaluate("document.activeElement.ariaLabel") == "Compare version 1"
        assert "zero" in page.evaluate("getSelection().toString()")
        assert page.locator(".version details").get_attribute("open") is not None
        loaded(page, "home")
        expert = page.locator("#phase details")
        expect(page.locator("#phase > div > .facts")).to_contain_text("about 90 min")
        expect(expert).not_to_have_attribute("open", "")
        expect(expert).to_contain_text("For experts")
        expert.locator("summary").click()
        expect(expert).to_contain_text("loss: cross entropy1.000")
        loaded(page, "files")
        field = page.locator("#rejected input").last
        field.fill("half a wo")
        updater.status.add_error("learning", "something else")
        look(page)
        expect(page.locator("#errors")).to_contain_text("something else")
        expect(field).to_have_value("half a wo")
        expect(field).to_be_focused()
        expect(page.locator("#errors")).to_contain_text("<b>gone</b>")


def test_the_keyboard_reaches_everything(browser: Browser, address: str) -> None:
    with opened(browser, address, **DESKTOP) as page:
        page.locator("#tiles dd").first.wait_for()
        seen = []
        for _ in range(12):
            page.keyboard.press("Tab")
            seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        assert seen[:5] == ["Skip to content", "Home", "Classes", "Versions", "Files"]
        assert {"try-file", "teach-class", "teach-files", "teach-folder"} <= set(seen)
        loaded(page, "classes")
        page.get_by_role("button", name="zero").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#class-dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#class-dialog")).to_be_hidden()
        expect(page.get_by_role("button", name="zero")).to_be_focused()


def test_an_empty_store_says_how_to_begin(browser: Browser, client: httpx.Client) -> None:
    with opened(browser, str(client.base_url), **DESKTOP) as page:
        expect(page.locator("#current")).to_have_text("nothing learnt yet")
        expect(page.locator("#chart")).to_contain_text("teach at least two classes")
        expect(page.locator("#try-hint")).to_have_text("Nothing is learnt yet: teach two classes first.")
        expect(page.locator("#phase")).to_have_text("No update has run yet.")
        assert findings(page) == []


def test_how_an_update_ended_has_words_for_people(browser: Browser, address: str, updater: Updater) -> None:
    updater.status.set_phase(None)
    updater.status.set_last_update({"id": "7", "result": "rejected", "version": None, "finished_at": "2026-01-01"})
    with opened(browser, address, **DESKTOP) as page:
        expect(page.locator("#phase")).to_contain_text("update 7, nothing in it could be learnt (Files says why)")


def test_each_result_of_an_update_has_words_for_people() -> None:
    script = (Path(page_module.__file__).parent / "static" / "now.js").read_text(encoding="utf-8")
    named = re.findall(r'(\w+): "', script.partition("const RESULTS = {")[2].partition("};")[0])
    assert set(named) == set(UPDATE_RESULTS)


def test_each_step_of_an_update_has_words_for_people() -> None:
    script = (Path(page_module.__file__).parent / "static" / "now.js").read_text(encoding="utf-8")
    named = set(re.findall(r'"([a-z-]+)": "', script.partition("const STEPS = {")[2].partition("};")[0]))
    assert {step.name for step in (*LEARN_STEPS, *EDIT_STEPS, *RELEARN_STEPS)} == named


@pytest.mark.slow
def test_the_first_view_of_a_large_store(
    browser: Browser, client: httpx.Client, updater: Updater, store: DirectoryStore, tmp_path: Path
) -> None:
    fill_store(store, tmp_path, versions=100, classes=1000)
    updater.status.set_versions(100, 100, None)
    with browser.new_context(**DESKTOP) as window:
        page = window.new_page()
        sizes: list[int] = []
        page.on("requestfinished", lambda request: sizes.append(sum_of(request.sizes())))
        page.goto(str(client.base_url))
        page.locator("#chart svg[role=img]").wait_for()
        page.wait_for_load_state("networkidle")
        assert "classes\n1000" in page.locator("#tiles").inner_text()
        # How long that takes depends on the machine and on its other work; what it takes does not.
        assert sum(sizes) < 200_000
        assert len(sizes) < 40


def sum_of(sizes: Any) -> int:
    return int(sizes["responseBodySize"] + sizes["responseHeadersSize"])
