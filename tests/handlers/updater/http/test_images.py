"""Classes, their exemplars and originals, what was rejected: as the page shows them."""

import hashlib
import io
import re
from pathlib import Path

import httpx
import pytest
from PIL import Image

from handlers.settings import Settings
from handlers.updater.context.parent import fetch_parent, remove_parents
from handlers.updater.service import Updater
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import InvalidKeyError, exists
from tests.handlers.updater.http.conftest import serving
from tests.support.stores.inspected import note_downloads
from tests.support.stores.learnt_store import EACH, LearntStore


@pytest.fixture(autouse=True)
def _current(learnt: LearntStore, updater: object) -> None:
    """The updater knows the version, as its reconciler would tell it."""
    updater.status.set_versions(1, 1, None)  # type: ignore[attr-defined]


def test_the_classes_with_counts_and_intervals(client: httpx.Client) -> None:
    document = client.get("/api/classes").json()
    assert (document["version"], document["total"], document["found"]) == (1, 2, 2)
    one, zero = document["classes"]
    assert (one["name"], one["images"], one["accuracy"], one["measured"]) == ("one", EACH, 0.9, 10)
    assert [round(bound, 3) for bound in one["interval"]] == [0.596, 0.982]
    assert zero["exemplars"] == EACH


SELECTIONS = [
    ("order=accuracy", ["one", "zero"]),
    ("order=newest", ["one", "zero"]),
    ("search=ZER", ["zero"]),
    ("name=zero&name=owl", ["zero"]),
    ("limit=1&offset=1", ["zero"]),
]


def test_some_classes(client: httpx.Client) -> None:
    for query, names in SELECTIONS:
        assert [one["name"] for one in client.get(f"/api/classes?{query}").json()["classes"]] == names


def test_exemplars_and_originals_are_shown_small(client: httpx.Client, learnt: LearntStore) -> None:
    key = next(iter(learnt.archived))
    for path in ("/api/versions/1/exemplar?class=zero&rank=2", f"/api/thumbnail?key={key}"):
        answer = client.get(path)
        assert answer.headers["content-type"] == "image/webp"
        with Image.open(io.BytesIO(answer.content)) as image:
            assert max(image.size) == 16


def test_what_the_next_update_starts_from_is_not_fetched_for_the_page(
    client: httpx.Client, learnt: LearntStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_parent(learnt.versions, learnt.versions.manifest(1), settings.work_folder)
    fetched = note_downloads(monkeypatch)
    address = "/api/versions/1/exemplar?class=zero&rank="
    assert client.get(f"{address}1").is_success
    assert fetched == []
    remove_parents(settings.work_folder)  # the page's own copy stays
    assert client.get(f"{address}2").is_success
    assert fetched == []


NOT_THERE = [
    ("/api/versions/1/exemplar?class=zero&rank=99", 404),
    ("/api/versions/1/exemplar?class=owl", 404),
    ("/api/versions/9/exemplar?class=zero", 404),
    ("/api/versions/1/exemplar?class=zero&rank=x", 400),
    ("/api/thumbnail?key=versions/1/manifest.json", 404),
    ("/api/thumbnail?key=archive/../versions/1/manifest.json", 400),
    ("/api/thumbnail?key=archive/000001/zero/none.png", 404),
    ("/api/thumbnail?key=rejected/000001/zero/broken.png", 415),
    ("/api/thumbnail?key=rejected/000001/zero/broken.png.reason.json", 404),
    ("/api/classes?order=size", 400),
    ("/api/classes?version=9", 404),
    ("/api/classes/owl/images", 404),
    ("/api/rejected?before=x", 400),
]


def test_what_is_not_there(client: httpx.Client) -> None:
    for path, status in NOT_THERE:
        answer = client.get(path)
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]


def test_the_images_of_a_class_come_in_pages(client: httpx.Client, learnt: LearntStore, root: Path) -> None:
    (root / "archive/000001/one/2.png").unlink()
    keys, following = [], ""
    for _ in range(3):
        page = client.get(f"/api/classes/one/images?limit=2{following}").json()
        keys += [image["key"] for image in page["images"]]
        assert all(
            image["sha256"] == hashlib.sha256(learnt.archived[image["key"]]).hexdigest() for image in page["images"]
        )
        following = f"&before={page['next']}"
    assert keys == [f"archive/000001/one/{number}.png" for number in (0, 1, 3, 4, 5)]
    assert page["next"] is None


def test_rejected_files_are_tried_again(client: httpx.Client, learnt: LearntStore, root: Path) -> None:
    listed = client.get("/api/rejected").json()["images"]
    assert [(file["key"], file["class"]) for file in listed] == [
        (learnt.rejected[0], "zero"),
        (learnt.rejected[1], None),
    ]
    assert "not an image" in listed[0]["reason"]
    same = client.post("/api/rejected/retry", json={"key": learnt.rejected[0]})
    assert (same.json()["class"], is_retried("zero", "broken.png", same.json()["key"])) == ("zero", True)
    nowhere = client.post("/api/rejected/retry", json={"key": learnt.rejected[1]})
    assert (nowhere.status_code, "not a class name" in nowhere.json()["error"]) == (400, True)
    told = client.post("/api/rejected/retry", json={"key": learnt.rejected[1], "class_name": "two"})
    assert is_retried("two", "loose.png", told.json()["key"])
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert {"incoming/zero/_READY", "incoming/two/_READY", same.json()["key"], told.json()["key"]} <= files
    assert not any(name.startswith("rejected/") for name in files)
    assert client.get("/api/rejected").json()["images"] == []


def is_retried(name: str, file: str, key: str) -> bool:
    """Whether a key is one of a file of update 1 that is tried again."""
    return re.fullmatch(rf"incoming/{name}/retried/000001/[0-9a-f]{{32}}/{re.escape(file)}", key) is not None


ONE_NAME = ["000001/zero/a/1.png", "000001/zero/a-1.png", "000001/one/1.png", "000002/zero/1.png", "000002/one/1.png"]
"""Rejected files that would have one name, or nearly, where they are tried again as one class."""


def test_rejected_files_of_one_name_are_all_tried_again(
    client: httpx.Client, store: DirectoryStore, root: Path
) -> None:
    for name in ONE_NAME:
        store.write(f"rejected/{name}", name.encode())
        answer = client.post("/api/rejected/retry", json={"key": f"rejected/{name}", "class_name": "zero"})
        assert answer.status_code == 202, answer.text
    waiting = [path.read_bytes() for path in (root / "incoming").rglob("*.png")]
    assert sorted(waiting) == sorted(name.encode() for name in ONE_NAME)
    assert not any(exists(store, f"rejected/{name}") for name in ONE_NAME)


def test_a_rejected_file_replaces_nothing_that_waits(client: httpx.Client, store: DirectoryStore) -> None:
    """A person put another file under its key, and is asked to wait until that one has been learnt."""
    rejected = "rejected/000002/zero/1.png"
    key = ""
    for content in (b"the first", b"another"):
        store.write(rejected, content)
        answer = client.post("/api/rejected/retry", json={"key": rejected})
        key = key or answer.json()["key"]
    assert (answer.status_code, key in answer.json()["error"]) == (409, True)
    assert (store.read(key), store.read(rejected)) == (b"the first", b"another")
    store.write(key, b"another")  # as after an answer that was lost
    assert client.post("/api/rejected/retry", json={"key": rejected}).status_code == 202
    assert (store.read(key), exists(store, rejected)) == (b"another", False)


def test_what_incoming_would_leave_alone_stays_rejected(client: httpx.Client, store: DirectoryStore) -> None:
    store.write("rejected/000002/zero/.1.png", b"put there by hand")
    answer = client.post("/api/rejected/retry", json={"key": "rejected/000002/zero/.1.png"})
    assert (answer.status_code, "begins with a dot" in answer.json()["error"]) == (400, True)
    assert store.read("rejected/000002/zero/.1.png")


def test_a_file_that_is_still_being_moved_is_not_tried_again(
    client: httpx.Client, learnt: LearntStore, root: Path
) -> None:
    """In a bucket a move is a copy and a deletion, and an update that ends between the two moves it once more."""
    rejected = root / learnt.rejected[0]
    original = root / "incoming/zero/broken.png"
    original.parent.mkdir(parents=True, exist_ok=True)
    original.write_bytes(rejected.read_bytes())
    answer = client.post("/api/rejected/retry", json={"key": learnt.rejected[0]})
    assert (answer.status_code, "incoming/zero/broken.png" in answer.json()["error"]) == (409, True)
    assert rejected.exists()
    original.write_bytes(b"x" * rejected.stat().st_size)  # another file
    assert client.post("/api/rejected/retry", json={"key": learnt.rejected[0]}).status_code == 202
    assert original.exists()


NOT_REJECTED = [("archive/000001/one/0.png", 400), ("rejected/000001/zero/none.png", 404), ("rejected/x", 404)]


def test_only_rejected_files_can_be_tried_again(client: httpx.Client) -> None:
    for key, status in NOT_REJECTED:
        assert client.post("/api/rejected/retry", json={"key": key}).status_code == status


NO_KEYS = ["x/../y.png", "x//y.png", "x/./y.png", "", "x/\0.png", "x/" + "y" * 300, "x/" + "y/" * 3000 + "y"]


@pytest.mark.parametrize("tail", NO_KEYS)
def test_what_no_object_can_be_called_is_the_askers_mistake(client: httpx.Client, tail: str) -> None:
    answers = (
        client.post("/api/rejected/retry", json={"key": f"rejected/{tail}"}),
        client.get("/api/thumbnail", params={"key": f"archive/{tail}"}),
    )
    for answer in answers:
        assert (answer.status_code, "is not a key" in answer.json()["error"]) == (400, True), answer.text


def test_what_a_store_takes_for_no_key_is_the_askers_mistake(updater: Updater, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket may have rules of its own."""

    def refuses(key: str, **_: int) -> bytes:
        raise InvalidKeyError(f"{key!r} is not a key here")

    monkeypatch.setattr(updater.objects, "read", refuses)
    with serving(updater) as http:
        answer = http.get("/api/thumbnail", params={"key": "archive/000001/zero/0.png"})
    assert (answer.status_code, "is not a key here" in answer.json()["error"]) == (400, True)
