"""What no folder in ``incoming/`` may be called is no class's name, whichever call it comes in by."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from handlers.labelling.unsure_images import Guess, UnsureImages, UnsureRules
from handlers.settings import LabellingSettings
from handlers.updater.service import Updater
from model_store.directory.directory_store import DirectoryStore
from tests.handlers.conftest import DigitFiles
from tests.handlers.updater.http.conftest import serving
from tests.support.class_names import NO_CLASS_NAMES
from tests.support.stores.learnt_store import LearntStore

FILE = {"content-type": "application/octet-stream"}
TEXT = [name for name in NO_CLASS_NAMES if "\udc80" not in name]
"""Those that JSON and addresses can hold."""
SEGMENTS = [name for name in TEXT if name.strip(".") and "/" not in name]
"""Those that can be a segment of an address."""

Call = Callable[[httpx.Client, str], httpx.Response]

CALLS: dict[str, Call] = {
    "correction": lambda http, name: http.post("/api/corrections", params={"class": name}, content=b"x", headers=FILE),
    "rejected": lambda http, name: http.post(
        "/api/rejected/retry", json={"key": "rejected/000001/zero/broken.png", "class_name": name}
    ),
    "rename": lambda http, name: http.post("/api/classes/zero/rename", json={"to": name}),
    "merge": lambda http, name: http.post("/api/classes/merge", json={"classes": ["zero", "one"], "into": name}),
    "relearn": lambda http, name: http.post("/api/relearn", json={"classes": [name]}),
}
PATHS: dict[str, Call] = {
    "upload": lambda http, name: http.put(f"/api/incoming/{quote(name, safe='')}/x/1.png", content=b"x", headers=FILE),
    "marker": lambda http, name: http.put(f"/api/incoming/{quote(name, safe='')}/_READY", headers=FILE),
    "retry": lambda http, name: http.post(f"/api/incoming/{quote(name, safe='')}/retry", json={}),
}


@pytest.fixture(autouse=True)
def _learnt(learnt: LearntStore) -> None:
    """There are classes to change."""


@pytest.mark.parametrize(("call", "names"), [*((one, TEXT) for one in CALLS), *((one, SEGMENTS) for one in PATHS)])
def test_a_name_that_no_folder_may_have_is_refused(
    client: httpx.Client, store: DirectoryStore, root: Path, call: str, names: list[str]
) -> None:
    before = [info.key for info in store.list("")]
    for name in names:
        answer = (CALLS | PATHS)[call](client, name)
        assert answer.status_code in {400, 409}, (name, answer.text)
        assert NO_CLASS_NAMES[name] in answer.json()["error"], name
    assert [info.key for info in store.list("")] == before


def test_a_label_is_such_a_name(updater: Updater, digit_files: DigitFiles) -> None:
    rules = LabellingSettings(keep_images=10)
    settings = updater.settings.model_copy(update={"labelling": rules})
    kept = UnsureImages(UnsureRules.of(rules, settings.data))
    kept.offer(digit_files[0][0], Guess(3, "zero", 0.41, False), {})
    updater.settings = settings
    with serving(updater) as http:
        (image,) = http.get("/api/unsure").json()["images"]
        for name in TEXT:
            answer = http.post(f"/api/unsure/{image['id']}/label", json={"class_name": name})
            assert (answer.status_code, NO_CLASS_NAMES[name] in answer.json()["error"]) == (400, True), name
        assert http.get("/api/unsure").json()["images"] == [image]


def test_a_folder_that_is_read_is_such_a_name(client: httpx.Client) -> None:
    for name in SEGMENTS:
        read = client.post("/api/layout", json={"paths": [f"{name}/1.jpg"]}).json()
        assert read["classes"] == [], name
        assert read["hidden"] or NO_CLASS_NAMES[name] in " ".join(read["unclear"]), name
