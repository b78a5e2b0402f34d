"""The updater's HTTP over a real directory store: no update runs, and nothing is served."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from handlers.labelling.unsure_images import Guess, UnsureImages, UnsureRules
from handlers.settings import LabellingSettings, Settings
from handlers.sidecar.http import WebServer
from handlers.updater.http.app import make_app
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from model_store.manifest import Gate
from tests.handlers.conftest import DigitFiles
from tests.support.page.browser import chromium
from tests.support.quick_settings import changed
from tests.support.stores.learnt_store import LearntStore, publish_learnt
from tests.support.stores.published import publish


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the tests of a file; each opens a window of its own. No longer: while it runs, this thread has an event
    loop, so that no other test could run one."""
    with chromium() as running:
        yield running


@pytest.fixture
def updater(settings: Settings, store: DirectoryStore) -> Updater:
    return Updater(settings, load_preset("digits"), store)


@contextmanager
def serving(updater: Updater) -> Iterator[httpx.Client]:
    """Somebody who asks its web server."""
    server = WebServer(make_app(updater), "127.0.0.1", 0)
    server.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60, trust_env=False) as http:
            yield http
    finally:
        server.stop()


@pytest.fixture
def guarded(settings: Settings, tmp_path: Path) -> Settings:
    """Of an updater that asks for the token "secret"."""
    (tmp_path / "token").write_text("secret\n", encoding="utf-8")
    return changed(settings, updater={"token_file": tmp_path / "token"})


@pytest.fixture
def client(updater: Updater) -> Iterator[httpx.Client]:
    with serving(updater) as http:
        yield http


@pytest.fixture
def learnt(store: DirectoryStore, digit_files: DigitFiles, tmp_path: Path) -> LearntStore:
    """Version 1 knows the digits zero and one, with six stored originals each; two files were rejected."""
    return publish_learnt(store, digit_files, tmp_path)


@pytest.fixture
def full(
    settings: Settings, store: DirectoryStore, learnt: LearntStore, digit_files: DigitFiles, tmp_path: Path
) -> Updater:
    """Something in each part of the page: two images to label, a refused and an unclear version, a folder set aside."""
    rules = LabellingSettings(keep_images=10)
    kept = UnsureImages(UnsureRules.of(rules, settings.data))
    kept.offer(digit_files[0][0], Guess(3, "zero", 0.41, False), {})
    kept.offer(digit_files[7][0], Guess(3, "one", 0.9, True), {})
    updater = Updater(settings.model_copy(update={"labelling": rules}), load_preset("digits"), store)
    publish(updater.versions, 2, tmp_path, passed=False)
    publish(updater.versions, 3, tmp_path, gate=Gate(passed=True, undecided=("1 of 4 images is right",)))
    updater.status.set_versions(1, 1, None)
    updater.status.set_waiting(
        [{"class": "bat", "images": 3, "others": 0, "state": "failed", "reason": "set aside: it failed"}]
    )
    updater.status.add_error("store", "<b>gone</b>")
    return updater


@pytest.fixture
def full_address(full: Updater) -> Iterator[str]:
    """Where that page is."""
    with serving(full) as http:
        yield str(http.base_url)
