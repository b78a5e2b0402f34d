"""What a folder would be dropped as, over HTTP: as ``lucir drop`` reads the same folder."""

from pathlib import Path

import httpx
import pytest

from handlers.client.class_folders import read_layout
from handlers.client.errors import ClientError

READINGS = [
    (["cat/1.jpg", "cat/deep/2", "dog/3.tiff", "dog/.git/4.png", "cat/a.txt", "Thumbs.db"], ["cat", "dog"], ""),
    (["1.jpg", "sub/2.jpg"], ["birds"], ""),
    (["train/1.jpg", "bus/1.jpg"], ["train", "bus"], ""),
    (["cafe\u0301/1.jpg", "cat/1.jpg"], ["caf\u00e9", "cat"], ""),
    (["cat/1.jpg", "dog/1.jpg", "loose.jpg"], [], "images beside folders with images"),
    (["train/cat/1.jpg", "train/dog/1.jpg", "val/cat/2.jpg"], [], "parts of a data set (train, val)"),
    (["Training/a/1.jpg", "Training/b/1.jpg", "extra/1.jpg"], [], "parts of a data set (Training)"),
    (["photos/cat/1.jpg", "photos/dog/1.jpg"], [], "holds photos, which holds folders"),
    (["_private/1.jpg", "cat/1.jpg"], [], "starts with an underscore"),
]


@pytest.mark.parametrize(("files", "classes", "unclear"), READINGS)
def test_the_page_and_the_terminal_read_a_folder_alike(
    client: httpx.Client, tmp_path: Path, files: list[str], classes: list[str], unclear: str
) -> None:
    for name in files:
        (tmp_path / "birds" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "birds" / name).write_bytes(b"\xff\xd8\xff" if not name.endswith((".txt", ".db")) else b"words")
    try:
        dropped = [each.name for each in read_layout(tmp_path / "birds").classes]
    except ClientError:
        dropped = []
    answer = client.post("/api/layout", json={"paths": [f"birds/{name}" for name in files]}).json()
    assert sorted(one["class"] for one in answer["classes"]) == sorted(dropped) == sorted(classes)
    assert unclear in " ".join(answer["unclear"])
    assert bool(answer["unclear"]) == bool(unclear)


def test_places_and_folders(client: httpx.Client) -> None:
    paths = ["owl/1.jpg", "owl/.x.jpg", "notes.md", "more/bat/2.png", "more/owl/3.png", "4.png"]
    assert client.post("/api/layout", json={"paths": paths}).json() == {
        "classes": [
            {"class": "owl", "folder": "owl/"},
            {"class": "bat", "folder": "more/bat/"},
            {"class": "owl", "folder": "more/owl/"},
        ],
        "unclear": ["1 of the files lies in no folder: type the class that they are of"],
        "hidden": [1],
        "others": [2],
    }


def test_many_paths_are_read_and_too_many_refused(client: httpx.Client) -> None:
    paths = [f"birds/owl/{'x' * 60}{number}.jpg" for number in range(30_000)] + ["birds/bat/1.jpg"]
    answer = client.post("/api/layout", json={"paths": paths})
    assert [one["class"] for one in answer.json()["classes"]] == ["owl", "bat"]
    assert client.post("/api/layout", json={"paths": [""] * 200_001}).status_code == 400
