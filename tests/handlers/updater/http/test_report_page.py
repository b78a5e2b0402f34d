"""The report of a version, and its model to take along: by keyboard, on a phone, in the dark, and as it is heard."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from handlers.updater.service import Updater
from tests.support.page.accessibility_tree import faults
from tests.support.page.browser import findings, needs_browser, opened
from tests.support.page.full_report import KEY, LONG, publish_report
from tests.support.page.hands import DESKTOP, PHONE, Hands, Keyboard, Touch

pytestmark = [needs_browser, pytest.mark.slow]

WINDOWS = {"keyboard": DESKTOP, "phone": PHONE, "dark": DESKTOP | {"color_scheme": "dark"}}


@pytest.fixture(params=WINDOWS)
def person(
    request: pytest.FixtureRequest, browser: Browser, full: Updater, full_address: str, tmp_path: Path
) -> Iterator[tuple[Page, Hands]]:
    """The view of the versions, of which version 4 has a report."""
    publish_report(full.versions, 4, tmp_path)
    full.view.refresh()
    with opened(browser, f"{full_address}/#versions", **WINDOWS[request.param]) as page:
        yield page, Touch(page) if request.param == "phone" else Keyboard(page)


def test_the_report_is_read_by_everybody(person: tuple[Page, Hands]) -> None:
    page, hands = person
    hands.press(page.get_by_role("link", name="Report of version 4"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Version 4")
    assert faults(page) + findings(page) == []
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Nothing is only in a title, which neither a keyboard nor a finger shows.
    for text in (LONG, KEY):
        expect(page.get_by_text(text, exact=True).first).to_be_visible()
    narrow = page.locator("tbody td:not(.number)").evaluate_all(
        "cells => cells.filter((cell) => cell.textContent.trim().length > 4 && cell.clientWidth < 60).length"
    )
    assert narrow == 0, "words are broken letter by letter"
    page.go_back()
    expect(page.get_by_role("link", name="Report of version 4")).to_be_visible()


def test_each_table_of_a_report_can_be_scrolled_by_the_keyboard(
    browser: Browser, full: Updater, full_address: str, tmp_path: Path
) -> None:
    publish_report(full.versions, 4, tmp_path)
    with opened(browser, f"{full_address}/versions/4/report", viewport={"width": 390, "height": 600}) as page:
        tables = page.get_by_role("region").filter(has=page.get_by_role("table"))
        assert tables.count() == 9
        assert tables.evaluate_all("all => all.some((one) => one.scrollWidth > one.clientWidth)")
        for place in range(9):
            page.keyboard.press("Tab")
            expect(tables.nth(place)).to_be_focused()


def test_the_model_is_taken_along(person: tuple[Page, Hands], tmp_path: Path) -> None:
    page, hands = person
    row = page.locator(".version", has_text="Version 4")
    hands.press(row.locator("summary"))
    expect(row.locator("pre")).to_contain_text("onnxruntime")
    assert faults(page) + findings(page) == []
    with page.expect_download() as download:
        hands.press(row.get_by_role("link", name="Download model.onnx with its class names"))
    download.value.save_as(tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        assert sorted(archive.namelist()) == ["example.py", "labels.json", "model.onnx"]
        assert LONG in json.loads(archive.read("labels.json"))
    hands.kept()
