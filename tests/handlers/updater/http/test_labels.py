"""``/api/unsure``: images to label, for whoever may change something."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from handlers.labelling.unsure_images import Guess, UnsureImages, UnsureRules
from handlers.settings import LabellingSettings, Settings
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from tests.handlers.conftest import DigitFiles
from tests.handlers.updater.http.conftest import serving
from tests.support.page.browser import findings, needs_browser, opened

TOKEN = {"authorization": "Bearer secret"}


@pytest.fixture
def unsure(settings: Settings, digit_files: DigitFiles) -> UnsureImages:
    """Two images that the engine was unsure of, and one that nothing can decode."""
    kept = UnsureImages(UnsureRules.of(LabellingSettings(keep_images=10), settings.data))
    for data, guess in (
        (b"no image", Guess(3, "zero", 0.2, None)),
        (digit_files[0][0], Guess(3, "zero", 0.41, False)),
        (digit_files[7][0], Guess(3, "one", 0.9, True)),
    ):
        kept.offer(data, guess, {})
    return kept


@pytest.fixture
def address(guarded: Settings, store: DirectoryStore) -> Iterator[str]:
    """Of an updater that keeps images to label, and asks for a token."""
    keeping = guarded.model_copy(update={"labelling": LabellingSettings(keep_images=10)})
    with serving(Updater(keeping, load_preset("digits"), store)) as http:
        yield str(http.base_url)


def test_off_by_default(client: httpx.Client) -> None:
    assert client.get("/api/unsure").json() == {"on": False, "images": []}
    assert client.get("/api/unsure", headers={"x-forwarded-for": "203.0.113.5"}).status_code == 403


def test_an_image_is_labelled_or_let_go(
    address: str, unsure: UnsureImages, root: Path, digit_files: DigitFiles
) -> None:
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
        for method, path in (("GET", ""), ("GET", "/x/thumbnail"), ("POST", "/x/label"), ("DELETE", "/x")):
            json = {"class_name": "cat"} if method == "POST" else None
            assert client.request(method, "/api/unsure" + path, json=json).status_code == 401
        client.headers.update(TOKEN)
        listed = client.get("/api/unsure?limit=3").json()
        by_data = {unsure.data(one["id"]): one for one in listed["images"]}
        seven, broken = by_data[digit_files[7][0]], by_data[b"no image"]
        assert (listed["on"], seven["class_name"], seven["unknown"], seven["version"]) == (True, "one", True, 3)
        thumbnail = client.get(f"/api/unsure/{seven['id']}/thumbnail")
        assert (thumbnail.headers["content-type"], thumbnail.headers["cache-control"]) == ("image/webp", "no-store")
        assert client.get(f"/api/unsure/{broken['id']}/thumbnail").status_code == 415
        assert client.post(f"/api/unsure/{broken['id']}/label", json={"class_name": "cat"}).status_code == 415
        assert client.post(f"/api/unsure/{seven['id']}/label", json={"class_name": "_x"}).status_code == 400
        answer = client.post(f"/api/unsure/{seven['id']}/label", json={"class_name": "seven"})
        assert (answer.status_code, answer.json()["class"]) == (202, "seven")
        assert (root / answer.json()["key"]).read_bytes() == digit_files[7][0]
        assert (root / "incoming/seven/_READY").exists()
        assert client.delete(f"/api/unsure/{broken['id']}").status_code == 200
        assert client.delete(f"/api/unsure/{broken['id']}").status_code == 404
        assert [one["id"] for one in client.get("/api/unsure").json()["images"]] == [
            one.id for one in unsure.newest(9) if unsure.data(one.id) == digit_files[0][0]
        ]


@pytest.mark.slow
@needs_browser
def test_one_click_labels_an_image(browser: Browser, address: str, unsure: UnsureImages, root: Path) -> None:
    with opened(browser, address + "/#files") as page:
        page.locator("#token-open").click()
        page.locator("#token-text").fill("secret")
        page.get_by_role("button", name="Keep").click()
        page.reload()
        rows = page.locator("#unsure > li")
        expect(rows).to_have_count(3)
        expect(rows.nth(0)).to_contain_text("Unknown; nearest is one, 90.0 % by version 3")
        assert findings(page) == []
        rows.nth(1).get_by_role("button", name="It is zero").click()
        expect(page.locator("#notices")).to_contain_text("The image is learnt as zero.")
        expect(rows).to_have_count(2)
        rows.nth(0).get_by_label("It is").fill("seven")
        rows.nth(0).get_by_label("It is").press("Enter")
        expect(rows).to_have_count(1)
        rows.get_by_role("button", name="Dismiss").click()
        expect(page.locator("#unsure")).to_contain_text("None: the answers were sure.")
    assert unsure.newest(9) == []
    assert {path.name for path in (root / "incoming").iterdir()} == {"zero", "seven"}
