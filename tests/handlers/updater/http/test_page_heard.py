"""The page as a screen reader tells it: names, headings, and what happened without looking at it."""

import time

import pytest
from playwright.sync_api import Browser, Page, expect

from handlers.updater.pace import Pace
from handlers.updater.service import Updater
from handlers.updater.status import Phase
from tests.support.page.accessibility_tree import faults, heard
from tests.support.page.browser import findings, look, needs_browser, opened
from tests.support.page.hands import DESKTOP, PHONE

pytestmark = needs_browser

VIEWS = {"Classes": ".card img", "Versions": ".version", "Files": "#rejected form", "Home": "#tiles dd"}


def view(page: Page, name: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name=name).click()
    page.locator(VIEWS[name]).first.wait_for()


def well(page: Page, where: str) -> None:
    """Nothing to complain of."""
    assert faults(page) + findings(page) == [], where


def test_each_part_and_each_result_is_told(browser: Browser, full_address: str, full: Updater) -> None:
    with opened(browser, full_address, **DESKTOP) as page:
        said = page.locator("#said")
        for name in VIEWS:
            view(page, name)
            assert faults(page) == [], name
        full.status.set_phase(
            Phase(update="000002", step="learn", new_classes=("owl",), pace=Pace(began=(0.0, time.monotonic())))
        )
        look(page)
        expect(said).to_have_text("Update 000002: learns")
        full.status.update_phase(progress=0.6)
        look(page)
        expect(said).to_have_text("Update 000002: learns, 50 % done")
        assert faults(page) == []
        view(page, "Classes")
        page.get_by_role("button", name="zero", exact=True).click()
        page.get_by_role("button", name="Delete 0.png").click()
        assert faults(page) == []
        page.locator("#confirm-yes").click()
        expect(said).to_have_text("delete 1 image waits for its turn")
        assert [node.parents[-1] for node in heard(page) if node.name == "delete 1 image waits for its turn"][:1] == [
            "status"
        ]


@pytest.mark.slow
@pytest.mark.parametrize("window", [DESKTOP, DESKTOP | {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_each_dialog_is_named_and_can_be_used(browser: Browser, full_address: str, window: dict[str, object]) -> None:
    with opened(browser, full_address, **window) as page:
        view(page, "Classes")
        page.get_by_role("button", name="zero", exact=True).click()
        page.locator(".originals img").first.wait_for()
        well(page, "class")
        page.get_by_role("button", name="Remove the class …").click()
        well(page, "confirm")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Close").click()
        view(page, "Versions")
        page.get_by_text("Use it elsewhere").first.click()
        for number in (1, 3):
            page.get_by_label(f"Compare version {number}").check()
        page.get_by_role("button", name="Compare two").click()
        page.locator("#compare-dialog table").first.wait_for()
        well(page, "compare")
        page.get_by_role("button", name="Close").click()
        for name in ("token", "api-key"):
            page.evaluate("name => document.getElementById(name).showModal()", name)
            well(page, name)
            page.keyboard.press("Escape")
