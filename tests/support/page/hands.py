"""A person who has only a keyboard, and one who has only a phone: both do what the page offers, nothing else."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from playwright.sync_api import FileChooser, Locator, Page, TimeoutError

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
}
"""Of a phone that chooses no folders: ``forget_folders`` is to be run in it."""

TABS = 150
"""More stops than any view has."""
ASKED, DIALOG_MS = 3, 15_000
"""How often for a dialog, and how long one is waited for before that."""
LEAST_SIDE = 24
"""CSS pixels (WCAG 2.2, success criterion 2.5.8)."""

SEEN = """node => {
    const box = node.getBoundingClientRect();
    const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return node.matches(":focus-visible") && (node.contains(top) || (top !== null && top.contains(node)));
}"""
"""Whether a node shows that it has the focus, and nothing covers it."""


class Hands(Protocol):
    """How a person works a page."""

    def press(self, control: Locator) -> None:
        """A button, a link, a box to tick."""

    def choose(self, field: Locator, files: Path) -> None:
        """Files, or a folder, in the dialog that the browser opens."""

    def write(self, field: Locator, text: str) -> None:
        """In place of what a field holds."""

    def kept(self) -> None:
        """Nothing that was done has lost the person's place, or moved the page sideways."""


class Keyboard:
    """Tab, Enter, Space and letters. What is reached shows it."""

    def __init__(self, page: Page) -> None:
        self._page = page
        _take_dialogs(page)

    def press(self, control: Locator) -> None:
        self._reach(control)
        self._page.keyboard.press("Space" if control.get_attribute("type") == "checkbox" else "Enter")

    def choose(self, field: Locator, files: Path) -> None:
        self._reach(field)
        _dialog(self._page, lambda: self._page.keyboard.press("Enter")).set_files(files)

    def write(self, field: Locator, text: str) -> None:
        self._reach(field)
        self._page.keyboard.press("Control+A")
        self._page.keyboard.type(text)

    def kept(self) -> None:
        assert self._page.evaluate("document.activeElement.tagName") != "BODY", "the focus is lost"

    def _reach(self, control: Locator) -> None:
        control.wait_for(state="attached")
        for _ in range(TABS):
            if control.evaluate("node => node === document.activeElement"):
                assert control.evaluate(SEEN), f"it cannot be seen that {control} has the focus"
                return
            self._page.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not reach {control}")


class Touch:
    """Taps and letters. What is tapped is large enough."""

    def __init__(self, page: Page) -> None:
        self._page = page
        _take_dialogs(page)

    def press(self, control: Locator) -> None:
        control.scroll_into_view_if_needed()
        box = control.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= LEAST_SIDE, f"{control} is too small for a finger: {box}"
        control.tap()

    def choose(self, field: Locator, files: Path) -> None:
        chosen = [files] if files.is_file() else sorted(path for path in files.rglob("*") if path.is_file())
        _dialog(self._page, lambda: self.press(field)).set_files(chosen)

    def write(self, field: Locator, text: str) -> None:
        self.press(field)
        field.fill(text)

    def kept(self) -> None:
        width = self._page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["viewport"]["width"], "the page scrolls sideways"


def _take_dialogs(page: Page) -> None:
    """Have dialogs for files given to the test as long as the page is there. If that only begins when one is asked for,
    the browser may open its own before it hears of it; a second one it does not open then.
    """
    page.on("filechooser", lambda _: None)


def _dialog(page: Page, ask: Callable[[], None]) -> FileChooser:
    """The browser's dialog for files. On a busy machine Chromium now and then opens none: a person asks again."""
    for _ in range(ASKED - 1):
        with suppress(TimeoutError):
            with page.expect_file_chooser(timeout=DIALOG_MS) as chooser:
                ask()
            return chooser.value
    with page.expect_file_chooser() as chooser:
        ask()
    return chooser.value


def forget_folders(page: Page) -> None:
    """From the next load on the browser knows no choosing of folders, like older phones."""
    page.add_init_script("delete HTMLInputElement.prototype.webkitdirectory")
