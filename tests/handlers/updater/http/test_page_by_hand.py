"""Everything that the page offers, by keyboard alone and by taps on a phone; answers of an engine: tests/end_to_end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from handlers.bucket.edit_documents import DeleteImages, Merge, Relearn, Remove, Rename
from handlers.updater.service import Updater
from tests.handlers.conftest import DigitFiles
from tests.support.page.browser import needs_browser, opened
from tests.support.page.hands import DESKTOP, PHONE, Hands, Keyboard, Touch, forget_folders
from tests.support.stores.published import pointed

pytestmark = [needs_browser, pytest.mark.slow]

WHOLE_WIDTH = """dialog => {
    const style = getComputedStyle(dialog);
    const inside = dialog.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    return Math.abs(dialog.querySelector(".scroll").getBoundingClientRect().width - inside) < 1;
}"""


@pytest.fixture(params=["keyboard", "phone"])
def person(request: pytest.FixtureRequest, browser: Browser, full_address: str) -> Iterator[tuple[Page, Hands]]:
    """The page, and how a person works it."""
    phone = request.param == "phone"
    with opened(browser, full_address, **(PHONE if phone else DESKTOP)) as page:
        if phone:
            forget_folders(page)
            page.reload()
        page.locator("#tiles dd").first.wait_for()
        yield page, Touch(page) if phone else Keyboard(page)


def view(page: Page, hands: Hands, name: str) -> None:
    hands.press(page.get_by_role("navigation").get_by_role("link", name=name))
    expect(page).to_have_title(f"{name} - LUCIR")
    hands.kept()


def open_class(page: Page, hands: Hands, name: str) -> None:
    view(page, hands, "Classes")
    hands.press(page.get_by_role("button", name=name, exact=True))
    expect(page.locator("#class-dialog")).to_be_visible()


def teach(page: Page, hands: Hands, folder: Path) -> None:
    """A folder; where the browser knows none, its images and the name of their class."""
    chooser = page.locator("#teach-folder")
    if chooser.is_visible():
        hands.choose(chooser, folder)
    else:
        hands.choose(page.locator("#teach-files"), folder)
        expect(page.locator("#teach-plan")).to_contain_text("type the class that they are of")
        hands.write(page.get_by_label("Class of the images"), folder.name)
    expect(page.locator("#teach-plan")).to_contain_text(f"{folder.name}: 3 images")
    hands.press(page.get_by_role("button", name="Upload and learn"))
    expect(page.locator("#notices")).to_contain_text("Everything has arrived")
    hands.kept()
    hands.press(page.get_by_role("button", name="Dismiss: Everything has arrived"))
    hands.kept()


def test_classes_are_taught_and_changed(
    person: tuple[Page, Hands], full: Updater, root: Path, tmp_path: Path, digit_files: DigitFiles
) -> None:
    page, hands = person
    (tmp_path / "bat").mkdir()
    for number in range(3):
        (tmp_path / "bat" / f"{number}.png").write_bytes(digit_files[3][number])
    teach(page, hands, tmp_path / "bat")
    assert len(list((root / "incoming/bat").rglob("*.png"))) == 3
    open_class(page, hands, "zero")
    hands.press(page.get_by_role("button", name="Delete 0.png"))
    hands.press(page.locator("#confirm-no"))
    hands.kept()
    hands.press(page.get_by_role("button", name="Delete 0.png"))
    hands.press(page.locator("#confirm-yes"))
    expect(page.locator(".originals .gone")).to_have_count(1)
    hands.kept()
    hands.write(page.get_by_label("New name"), "one")
    hands.press(page.get_by_role("button", name="Rename"))
    expect(page.locator("#notices")).to_contain_text("lucir class merge")
    hands.press(page.get_by_role("button", name="Dismiss: there is a class 'one' already"))
    hands.write(page.get_by_label("New name"), "none")
    hands.press(page.get_by_role("button", name="Rename"))
    expect(page.locator("#class-dialog")).to_be_hidden()
    hands.kept()
    expect(page.locator("#request-list > li")).to_have_count(2)
    assert [type(request.operation) for request in full.edits.pending()] == [DeleteImages, Rename]
    open_class(page, hands, "zero")
    hands.press(page.get_by_role("button", name="Add images …"))
    expect(page.get_by_label("Class of the images")).to_have_value("zero")
    expect(page.locator("#teach-files")).to_be_focused()


def test_versions_are_gone_back_to_and_their_classes_changed(person: tuple[Page, Hands], full: Updater) -> None:
    page, hands = person
    view(page, hands, "Versions")
    for number in (1, 3):
        hands.press(page.get_by_label(f"Compare version {number}"))
    hands.press(page.get_by_role("button", name="Compare two"))
    dialog = page.locator("#compare-dialog")
    expect(dialog).to_contain_text("Only in version 3: cat, dog, owl.")
    expect(dialog).to_contain_text("Version 1: learnt 'zero' (6 images), 'one' (6 images).")
    assert dialog.evaluate(WHOLE_WIDTH), "something beside the table makes it narrow"
    dialog.evaluate("box => box.scrollTo(0, box.scrollHeight)")
    expect(dialog.get_by_role("button", name="Close")).to_be_in_viewport(ratio=1)
    hands.press(dialog.get_by_role("button", name="Close"))
    hands.kept()
    hands.press(page.get_by_role("button", name="Learn what version 2 was to learn again"))
    expect(page.locator("#request-list")).to_contain_text("learn 'owl' again")
    hands.kept()
    back = page.get_by_role("button", name="Roll back to version 3")
    hands.press(back)
    hands.press(page.locator("#confirm-no"))
    hands.kept()
    hands.press(back)
    hands.press(page.locator("#confirm-yes"))
    expect(page.locator("#notices")).to_contain_text("Version 3 is the current one now")
    full.status.set_versions(3, 3, None)
    expect(back).to_be_hidden()
    hands.kept()
    assert pointed(full.versions) == 3
    open_class(page, hands, "owl")
    hands.write(page.get_by_label("Merge into"), "cat")
    hands.press(page.get_by_role("button", name="Merge …"))
    expect(page.locator("#confirm-title")).to_have_text("Merge “owl” into “cat”?")
    hands.press(page.locator("#confirm-yes"))
    expect(page.locator("#class-dialog")).to_be_hidden()
    hands.kept()
    open_class(page, hands, "dog")
    hands.press(page.get_by_role("button", name="Remove the class …"))
    hands.press(page.get_by_label("delete its stored images as well"))
    hands.press(page.locator("#confirm-yes"))
    expect(page.locator("#class-dialog")).to_be_hidden()
    hands.kept()
    assert [request.operation for request in full.edits.pending()] == [
        Relearn(classes=("owl",)),
        Merge(names=("owl", "cat"), into="cat"),
        Remove(name="dog", delete_originals=True),
    ]


def test_files_are_labelled_and_tried_again(person: tuple[Page, Hands], root: Path) -> None:
    page, hands = person
    view(page, hands, "Files")
    row = page.locator("#unsure > li", has_text="nearest is one")
    hands.write(row.get_by_label("It is"), "seven")
    hands.press(row.get_by_role("button", name="Teach"))
    expect(page.locator("#unsure > li")).to_have_count(1)
    hands.kept()
    hands.press(page.get_by_role("button", name="Dismiss: delete this image, do not learn it"))
    expect(page.locator("#unsure")).to_contain_text("None")
    hands.kept()
    hands.press(page.get_by_role("button", name="Try bat again"))
    hands.kept()
    row = page.locator("#rejected > li", has_text="loose.png")
    expect(row).to_contain_text("lies directly in incoming/")
    hands.write(row.get_by_label("Class"), "two")
    hands.press(row.get_by_role("button", name="Try loose.png again"))
    expect(row).to_have_count(0)
    hands.kept()
    assert {path.name for path in (root / "incoming").iterdir()} == {"seven", "two"}
    assert [path.is_file() for path in (root / "incoming/two/retried/000001").glob("*/loose.png")] == [True]


@pytest.mark.parametrize("person", ["keyboard"], indirect=True)
def test_escape_leaves_a_dialog_where_it_was_opened(person: tuple[Page, Hands]) -> None:
    page, hands = person
    open_class(page, hands, "zero")
    opener = page.get_by_role("button", name="Remove the class …")
    hands.press(opener)
    expect(page.locator("#confirm-no")).to_be_focused()
    for _ in range(5):
        page.keyboard.press("Tab")
        outside = (
            "!['BODY', 'HTML'].includes(document.activeElement.tagName) && !document.activeElement.closest('#confirm')"
        )
        assert not page.evaluate(outside)
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="zero", exact=True)).to_be_focused()
