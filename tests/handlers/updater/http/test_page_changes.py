"""What a person does on the page: teach, correct, change classes, go back; each step as a person takes it."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, Request, expect

from handlers.bucket.edit_documents import DeleteImages, Rename
from handlers.settings import Settings
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from model_store.manifest import Gate
from tests.handlers.conftest import DigitFiles
from tests.handlers.updater.http.conftest import serving
from tests.support.page.browser import needs_browser, opened
from tests.support.quick_settings import changed
from tests.support.servers import small_server
from tests.support.servers.small_server import Asked
from tests.support.stores.learnt_store import LearntStore
from tests.support.stores.published import pointed, publish

pytestmark = needs_browser

SECRETS = ("authorization", "x-api-key")


@pytest.fixture
def page(browser: Browser, client: httpx.Client, learnt: LearntStore, updater: Updater) -> Iterator[Page]:
    updater.status.set_versions(1, 1, None)
    with opened(browser, str(client.base_url)) as shown:
        shown.locator("#tiles dd").first.wait_for()
        yield shown


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def incoming(root: Path) -> set[str]:
    """Class and file name of what has arrived; the drop's own folder between them is left out."""
    files = [path.relative_to(root / "incoming").parts for path in (root / "incoming").rglob("*") if path.is_file()]
    return {"/".join([parts[0], *parts[2:]]) if len(parts) > 2 else "/".join(parts) for parts in files}


@pytest.mark.slow
def test_a_folder_of_classes_is_taught(
    page: Page, updater: Updater, root: Path, tmp_path: Path, digit_files: DigitFiles
) -> None:
    files = {f"{name}/{number}.png": digit_files[3][number] for name in ("owl", "bat") for number in range(3)}
    extra = {"owl/.hidden.png": b"x", ".DS_Store": b"x", "owl/notes.txt": b"x", "owl/deep/1.png": digit_files[4][0]}
    page.locator("#teach-folder").set_input_files(write(tmp_path / "birds", files | extra))
    expect(page.locator("#teach-plan")).to_contain_text("owl: 4 images")
    expect(page.locator("#teach-plan")).to_contain_text("1 file that is not an image")
    assert not (root / "incoming").exists()
    page.get_by_role("button", name="Upload and learn").click()
    expect(page.locator("#notices")).to_contain_text("Everything has arrived")
    assert incoming(root) == {*files, "owl/deep/1.png", "owl/_READY", "bat/_READY"}
    updater.status.set_versions(7, 7, None)
    updater.status.set_last_update({"id": "7", "result": "published", "version": 7, "finished_at": "2026-01-01"})
    expect(page.locator("#notices")).to_contain_text("Learnt: bat, owl. Version 7 answers now: try an image.")
    expect(page.get_by_role("button", name="Dismiss: Learnt: bat, owl")).to_be_visible()


@pytest.mark.slow
def test_dropped_images_get_the_class_that_was_typed(page: Page, root: Path) -> None:
    page.get_by_label("Class of the images").fill("owl")
    page.evaluate(
        """async () => {
            const canvas = new OffscreenCanvas(16, 16);
            canvas.getContext("2d").fillRect(0, 0, 8, 8);
            const file = new File([await canvas.convertToBlob()], "drawn.png");
            const transfer = new DataTransfer();
            transfer.items.add(file);
            for (const kind of ["dragover", "drop"])
                document.getElementById("teach-drop").dispatchEvent(
                    new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }"""
    )
    page.get_by_role("button", name="Upload and learn").click()
    expect(page.locator("#notices")).to_contain_text("Everything has arrived: owl")
    assert incoming(root) == {"owl/drawn.png", "owl/_READY"}


@pytest.mark.slow
def test_what_does_not_arrive_is_told_and_tried_again(page: Page, root: Path, tmp_path: Path) -> None:
    (empty,) = write(tmp_path, {"owl/1.png": b""}).glob("owl/*.png")
    page.get_by_label("Class of the images").fill("owl")
    page.locator("#teach-files").set_input_files(empty)
    page.get_by_role("button", name="Upload and learn").click()
    expect(page.locator("#teach-plan")).to_contain_text("1.png: the file is empty")
    page.get_by_role("button", name="Try these again").click()
    expect(page.locator("#teach-plan")).to_contain_text("1 file did not arrive")
    assert not (root / "incoming").exists()


def open_class(page: Page, name: str) -> None:
    page.get_by_role("link", name="Classes").click()
    page.get_by_role("button", name=name, exact=True).click()


def test_a_class_is_renamed_merged_and_an_image_deleted(
    page: Page, updater: Updater, learnt: LearntStore, root: Path, tmp_path: Path
) -> None:
    open_class(page, "zero")
    page.get_by_label("New name").fill("none")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator("#request-list")).to_contain_text("rename 'zero' to 'none' waits for its turn")
    open_class(page, "zero")
    page.get_by_role("button", name="Delete 0.png").click()
    page.locator("#confirm-no").click()
    assert len(updater.edits.pending()) == 1
    page.get_by_role("button", name="Delete 0.png").click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#request-list")).to_contain_text("delete 1 image")
    page.locator("#class-dialog").get_by_role("button", name="Close").click()
    kinds = [type(request.operation) for request in updater.edits.pending()]
    assert kinds == [Rename, DeleteImages]
    page.reload()
    expect(page.locator("#request-list > li")).to_have_count(2)


def test_versions_are_compared_and_gone_back_to(
    browser: Browser, client: httpx.Client, updater: Updater, tmp_path: Path
) -> None:
    unclear = Gate(passed=True, undecided=("1 of 4 images is right: more images would help",))
    for number, gate in ((1, None), (2, unclear), (3, None)):
        publish(updater.versions, number, tmp_path, passed=number < 3, gate=gate)
    updater.versions.point_to(2, "published")
    updater.status.set_versions(2, 2, None)
    with opened(browser, str(client.base_url)) as page:
        page.get_by_role("link", name="Versions").click()
        refused, served = page.locator(".version").nth(0), page.locator(".version").nth(1)
        expect(refused.locator(".verdict")).to_contain_text("The gate refused it")
        expect(refused.locator(".verdict li")).to_have_text("too bad")
        expect(served.locator(".verdict")).to_contain_text("too few images were measured")
        expect(served.locator(".verdict li")).to_have_text("1 of 4 images is right: more images would help")
        refused.get_by_role("button", name="Learn what version 3 was to learn again").click()
        expect(page.locator("#request-list")).to_contain_text("learn 'owl' again from the archive")
        served.get_by_role("button", name="Add images of owl").click()
        expect(page.get_by_label("Class of the images")).to_have_value("owl")
        page.get_by_role("link", name="Versions").click()
        page.get_by_label("Compare version 1").check()
        page.get_by_label("Compare version 2").check()
        page.get_by_role("button", name="Compare two").click()
        expect(page.locator("#compare-dialog")).to_contain_text("Only in version 2: owl.")
        page.get_by_role("button", name="Close").click()
        page.get_by_role("button", name="Roll back to version 3").click()
        expect(page.locator("#confirm-text")).to_contain_text("The gate refused it: too bad.")
        page.locator("#confirm-no").click()
        page.get_by_role("button", name="Roll back to version 1").click()
        page.locator("#confirm-yes").click()
        expect(page.locator("#notices")).to_contain_text("Version 1 is the current one now; before it was 2.")
    assert pointed(updater.versions) == 1


@pytest.mark.slow
def test_an_engine_that_is_away_is_said(page: Page, tmp_path: Path, digit_files: DigitFiles) -> None:
    (tmp_path / "digit.png").write_bytes(digit_files[0][0])
    page.locator("#try-file").set_input_files(tmp_path / "digit.png")
    expect(page.locator("#try-answer")).to_contain_text("does not answer")


def test_a_token_is_asked_for_and_kept_in_the_tab(
    browser: Browser, guarded: Settings, store: DirectoryStore, learnt: LearntStore
) -> None:
    updater = Updater(guarded, load_preset("digits"), store)
    updater.status.set_versions(1, 1, None)
    with serving(updater) as client, opened(browser, str(client.base_url)) as page:
        open_class(page, "zero")
        page.get_by_label("New name").fill("none")
        page.get_by_role("button", name="Rename").click()
        page.locator("#token-text").fill("secret")
        page.get_by_role("button", name="Keep").click()
        expect(page.locator("#request-list > li")).to_have_count(1)
        page.reload()
        expect(page.locator("#token-open")).to_have_text("Token ✓")
    assert len(updater.edits.pending()) == 1


def test_token_and_api_key_are_asked_for_apart_and_neither_is_sent_to_the_other(
    browser: Browser,
    guarded: Settings,
    store: DirectoryStore,
    learnt: LearntStore,
    tmp_path: Path,
    digit_files: DigitFiles,
) -> None:
    asked: list[Asked] = []

    def engine(one: Asked) -> tuple[int, bytes]:
        asked.append(one)
        if one.headers.get("x-api-key") != "key":
            return 401, b'{"error": "send one of this service\'s API keys"}'
        return 200, b'{"model_version": 1, "predictions": [{"class": "zero", "probability": 0.9}]}'

    with small_server.serving(engine) as port:
        updater = Updater(changed(guarded, serving={"port": port}), load_preset("digits"), store)
        updater.status.set_versions(1, 1, None)
        with serving(updater) as client, opened(browser, str(client.base_url)) as page:
            sent: list[Request] = []
            page.on("request", lambda one: sent.append(one))
            (tmp_path / "zero.png").write_bytes(digit_files[0][0])
            page.locator("#try-file").set_input_files(tmp_path / "zero.png")
            page.locator("#api-key-text").fill("key")
            page.get_by_role("button", name="Keep").click()
            expect(page.locator("#try-answer .best")).to_contain_text("zero, 90")
            assert not page.locator("#token").is_visible()
            page.get_by_label("Right class").fill("one")
            page.get_by_role("button", name="Teach", exact=True).click()
            page.locator("#token-text").fill("secret")
            page.get_by_role("button", name="Keep").click()
            expect(page.locator("#notices")).to_contain_text("is learnt as one")
            page.locator("#try-file").set_input_files(tmp_path / "zero.png")
            expect(page.locator("#try-answer .best")).to_contain_text("zero, 90")
            paths = {name: {urlsplit(one.url).path for one in sent if name in one.headers} for name in SECRETS}
    assert paths["x-api-key"] == {"/api/predict"}
    assert "/api/predict" not in paths["authorization"]
    assert "/api/corrections" in paths["authorization"]
    assert [(one.headers.get("x-api-key"), one.headers.get("authorization")) for one in asked] == [
        (None, None),
        ("key", None),
        ("key", None),
    ]


def test_calls_that_miss_the_token_together_ask_once_and_not_again_after_a_cancel(
    browser: Browser, guarded: Settings, store: DirectoryStore, root: Path, tmp_path: Path, digit_files: DigitFiles
) -> None:
    folder = write(tmp_path / "owl", {f"{number}.png": digit_files[3][number] for number in range(9)})
    with (
        serving(Updater(guarded, load_preset("digits"), store)) as client,
        opened(browser, str(client.base_url)) as page,
    ):
        page.locator("#teach-folder").set_input_files(folder)
        page.locator("#token-text").fill("secret")  # how the folder is to be read
        page.get_by_role("button", name="Keep").click()
        upload = page.get_by_role("button", name="Upload and learn")
        upload.wait_for()
        page.evaluate("sessionStorage.clear()")
        upload.click()
        page.locator("#token-no").click()
        expect(page.locator("#teach-plan")).to_contain_text("9 files did not arrive")
        expect(page.locator("#token")).to_be_hidden()
        page.get_by_role("button", name="Try these again").click()
        page.locator("#token-text").fill("secret")
        page.get_by_role("button", name="Keep").click()
        expect(page.locator("#notices")).to_contain_text("Everything has arrived")
    assert len(incoming(root)) == 10
