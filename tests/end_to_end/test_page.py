"""From an empty machine to a first own class answered rightly, corrected and gone back from: by the page alone."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import chromium, findings, needs_browser, opened
from tests.support.stack import FAST, digit_image, folders, running
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, needs_browser]

ENGINE = "serving.engine=uvicorn"
"""The quicker start; tests/handlers/torchserve asks the other engine the same."""

KEEP = ("labelling.keep_images=5", "labelling.below=1")
"""Whatever is asked is to be labelled."""


def teach(page: Page, folder: Path, served: str) -> None:
    page.locator("#teach-folder").set_input_files(folder)
    page.get_by_role("button", name="Upload and learn").click()
    expect(page.locator("#served")).to_have_text(served)


def test_everything_by_the_page(tmp_path: Path) -> None:
    (tmp_path / "zero.png").write_bytes(digit_image("0"))
    with (
        running(tmp_path / "data", settings=(*FAST, ENGINE, *KEEP)) as stack,
        chromium() as browser,
        opened(browser, stack.record.updater_url) as page,
    ):
        expect(page.locator("#current")).to_have_text("nothing learnt yet")
        teach(page, folders(tmp_path / "digits", "01"), "served: version 1")
        page.locator("#try-file").set_input_files(tmp_path / "zero.png")
        expect(page.locator("#try-answer")).to_contain_text("answered by version 1")
        expect(page.locator("#try-answer h3")).to_have_text("Most alike among the exemplars")
        expect(page.locator(".near").first).to_contain_text("0cosine 0.9")
        expect(page.locator(".near img").first).to_be_visible()
        assert findings(page) == []
        page.get_by_role("link", name="Files").click()
        expect(page.locator("#unsure > li")).to_contain_text("by version 1")
        page.get_by_role("button", name="Dismiss: delete").click()
        expect(page.locator("#unsure")).to_contain_text("None")
        page.get_by_role("link", name="Home").click()
        page.get_by_label("Right class").fill("1")
        page.locator(".correction button[type=submit]").click()
        expect(page.locator("#notices")).to_contain_text("The image is learnt as 1")
        expect(page.locator("#served")).to_have_text("served: version 2")
        page.get_by_role("link", name="Versions").click()
        expect(page.locator(".version").first).to_contain_text("learnt more of '1' (1 image more)")
        page.get_by_role("button", name="Roll back to version 1").click()
        page.locator("#confirm-yes").click()
        expect(page.locator("#served")).to_have_text("served: version 1")
        page.get_by_role("link", name="Classes").click()
        page.get_by_role("button", name="1", exact=True).click()
        page.get_by_label("New name").fill("one")
        page.get_by_role("button", name="Rename").click()
        expect(page.locator("#request-list")).to_contain_text("done: version 3")
        wait_for(lambda: stack.status().get("served_version") == 3)
        expect(page.locator(".card", has_text="one")).to_be_visible()
