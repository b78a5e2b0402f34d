"""From an empty machine to a first own class answered rightly, corrected and gone back from: by the page, without a
mouse."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.page.accessibility_tree import faults
from tests.support.page.browser import chromium, findings, needs_browser, opened
from tests.support.page.hands import DESKTOP, PHONE, Hands, Keyboard, Touch
from tests.support.processes.stack import digit_image, folders, running
from tests.support.waiting import wait_for
from tools.processes import FAST

pytestmark = [pytest.mark.slow, needs_browser]

ENGINE = "serving.engine=uvicorn"
"""The quicker start; tests/handlers/torchserve asks the other engine the same."""

KEEP = ("labelling.keep_images=5", "labelling.below=1")
"""Whatever is asked is to be labelled."""


def teach(page: Page, hands: Hands, folder: Path, served: str) -> None:
    hands.choose(page.locator("#teach-folder"), folder)
    hands.press(page.get_by_role("button", name="Upload and learn"))
    expect(page.locator("#served")).to_have_text(served)
    hands.kept()


def view(page: Page, hands: Hands, name: str) -> None:
    hands.press(page.get_by_role("navigation").get_by_role("link", name=name))


def test_everything_by_the_page_and_the_keyboard_then_a_phone(tmp_path: Path) -> None:
    (tmp_path / "zero.png").write_bytes(digit_image("0"))
    with running(tmp_path / "data", settings=(*FAST, ENGINE, *KEEP)) as stack, chromium() as browser:
        with opened(browser, stack.record.updater_url, **DESKTOP) as page:
            everything(page, Keyboard(page), tmp_path)
        wait_for(lambda: stack.status().get("served_version") == 3)
        with opened(browser, stack.record.updater_url, **PHONE) as page:
            on_a_phone(page, Touch(page), tmp_path / "zero.png")


def everything(page: Page, hands: Hands, folder: Path) -> None:
    expect(page.locator("#current")).to_have_text("nothing learnt yet")
    teach(page, hands, folders(folder / "digits", "01"), "served: version 1")
    expect(page.locator("#said")).to_contain_text("Served: version 1")
    hands.choose(page.locator("#try-file"), folder / "zero.png")
    expect(page.locator("#try-answer")).to_contain_text("answered by version 1")
    expect(page.locator("#said")).to_contain_text("answered by version 1")
    expect(page.locator("#try-answer h3")).to_have_text("Most alike among the exemplars")
    expect(page.locator(".near").first).to_contain_text("0cosine 0.9")
    expect(page.locator(".near img").first).to_be_visible()
    assert findings(page) + faults(page) == []
    view(page, hands, "Files")
    expect(page.locator("#unsure > li")).to_contain_text("by version 1")
    hands.press(page.get_by_role("button", name="Dismiss: delete"))
    expect(page.locator("#unsure")).to_contain_text("None")
    view(page, hands, "Home")
    hands.write(page.get_by_label("Right class"), "1")
    hands.press(page.locator(".correction button[type=submit]"))
    expect(page.locator("#notices")).to_contain_text("The image is learnt as 1")
    expect(page.locator("#served")).to_have_text("served: version 2")
    hands.kept()
    view(page, hands, "Versions")
    expect(page.locator(".version").first).to_contain_text("learnt more of '1' (1 image more)")
    hands.press(page.get_by_role("button", name="Roll back to version 1"))
    hands.press(page.locator("#confirm-yes"))
    expect(page.locator("#served")).to_have_text("served: version 1")
    hands.kept()
    view(page, hands, "Classes")
    hands.press(page.get_by_role("button", name="1", exact=True))
    hands.write(page.get_by_label("New name"), "one")
    hands.press(page.get_by_role("button", name="Rename"))
    expect(page.locator("#request-list")).to_contain_text("done: version 3")
    expect(page.locator(".card", has_text="one")).to_be_visible()
    hands.kept()


def on_a_phone(page: Page, hands: Hands, image: Path) -> None:
    """The camera gives an image, whose answer is corrected."""
    expect(page.locator("#served")).to_have_text("served: version 3")
    page.locator("#chart svg").wait_for()  # what arrives above a finger moves what is below it
    hands.choose(page.locator("#try-camera"), image)
    expect(page.locator("#try-answer")).to_contain_text("answered by version 3")
    assert findings(page) + faults(page) == []
    hands.kept()
    hands.press(page.get_by_role("button", name="It is ").first)
    expect(page.locator("#notices")).to_contain_text("The image is learnt as")
    expect(page.locator("#served")).to_have_text("served: version 4")
    hands.kept()
