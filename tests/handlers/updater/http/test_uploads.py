"""Labelled folders over HTTP: the same rules as ``lucir drop``, and never more bytes than are allowed."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from handlers.client.class_folders import read_layout
from handlers.client.drop_upload import plan_uploads
from handlers.settings import Settings
from tests.handlers.conftest import DigitFiles

FILE = {"content-type": "application/octet-stream"}


def test_a_folder_arrives_as_a_drop_puts_it(
    client: httpx.Client, digit_files: DigitFiles, root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "birds"
    for name in (
        "owl/a b.png",
        "owl/deep/100%.png",
        "owl/.hidden.png",
        "owl/.git/x.png",
        "owl/@eaDir/x.png",
        "owl/camera",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(digit_files[0][0])
    (folder / "owl/notes.txt").write_bytes(b"not an image")
    answers = {
        path.relative_to(folder / "owl").as_posix(): client.put(
            httpx.URL(path="/api/incoming/owl/drop1/" + path.relative_to(folder / "owl").as_posix()),
            content=path.read_bytes(),
            headers=FILE,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "a b.png": 201,
        "deep/100%.png": 201,
        ".hidden.png": 400,
        ".git/x.png": 400,
        "@eaDir/x.png": 400,
        "camera": 201,
        "notes.txt": 415,
    }
    assert not (root / "incoming/owl/_READY").exists()
    assert client.put("/api/incoming/owl/_READY", headers=FILE).status_code == 201
    there = {path.relative_to(root).as_posix() for path in (root / "incoming").rglob("*") if path.is_file()}
    dropped = {upload.key for upload in plan_uploads(read_layout(folder).classes, "drop1")}
    assert there == dropped | {"incoming/owl/_READY"}


NAMES = [
    ("_owl/x/1.png", 400, "underscore"),
    ("owl/x//1.png", 400, "without a name"),
    ("owl/x/" + "y" * 900 + "/" + "z" * 900 + "/1.png", 201, ""),
    ("owl/x/" + "/".join(["long" * 40] * 9) + "/1.png", 400, "too long"),
    ("bat/_READY", 409, "no image of 'bat' has arrived"),
]


def test_names(client: httpx.Client, digit_files: DigitFiles) -> None:
    for path, status, words in NAMES:
        answer = client.put(f"/api/incoming/{path}", content=digit_files[0][0], headers=FILE)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text


def test_a_waiting_image_is_not_replaced(client: httpx.Client, digit_files: DigitFiles, root: Path) -> None:
    """It was somebody's; but whoever heard no answer may send the same once more."""
    first, other = digit_files[0][:2]

    def send(content: bytes) -> httpx.Response:
        return client.put("/api/incoming/owl/x/1.png", content=content, headers=FILE)

    assert [send(first).status_code for _ in range(2)] == [201, 201]
    for content in (other, first + b"more"):
        refused = send(content)
        assert (refused.status_code, "incoming/owl/x/1.png" in refused.json()["error"]) == (409, True)
    assert (root / "incoming/owl/x/1.png").read_bytes() == first
    (root / "incoming/owl/y.png").mkdir()
    assert client.put("/api/incoming/owl/y.png", content=first, headers=FILE).status_code == 409


def test_of_images_that_come_at_once_one_stays(client: httpx.Client, digit_files: DigitFiles, root: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        sent = list(
            pool.map(lambda data: client.put("/api/incoming/owl/x/1.png", content=data, headers=FILE), digit_files[0])
        )
    stored = [data for data, answer in zip(digit_files[0], sent, strict=True) if answer.status_code == 201]
    assert [(root / "incoming/owl/x/1.png").read_bytes()] == stored
    assert {answer.status_code for answer in sent} == {201, 409}


def test_too_large_a_file_leaves_nothing(client: httpx.Client, settings: Settings, root: Path) -> None:
    limit = settings.images.max_bytes

    def endless() -> object:
        for _ in range(limit // 65536 + 2):
            yield bytes(65536)

    told = client.put("/api/incoming/owl/x/1.png", content=bytes(limit + 1), headers=FILE)
    untold = client.put("/api/incoming/owl/x/1.png", content=endless(), headers=FILE)  # type: ignore[arg-type]
    empty = client.put("/api/incoming/owl/x/1.png", content=b"", headers=FILE)
    assert [answer.status_code for answer in (told, untold, empty)] == [413, 413, 400]
    assert "images.max_bytes" in untold.json()["error"]
    assert not (root / "incoming" / "owl").exists()


def test_a_folder_that_was_set_aside_changes(client: httpx.Client, digit_files: DigitFiles, root: Path) -> None:
    assert client.post("/api/incoming/owl/retry", json={}).status_code == 404
    client.put("/api/incoming/owl/x/1.png", content=digit_files[0][0], headers=FILE)
    client.put("/api/incoming/owl/_READY", headers=FILE)
    before = (root / "incoming/owl/_READY").read_bytes()
    assert client.post("/api/incoming/owl/retry", json={}).status_code == 202
    assert (root / "incoming/owl/_READY").read_bytes() != before
