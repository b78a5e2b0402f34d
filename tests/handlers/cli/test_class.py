"""``lucir class``, ``lucir image`` and ``lucir report`` on a real store without a running stack."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.bucket.edit_documents import DeleteImages, Merge, Operation, Remove, Rename
from handlers.bucket.edit_requests import EditDesk
from handlers.bucket.updates import UpdateRecords
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tests.handlers.cli.test_versions import publish

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """Version 2 knows cat, dog and owl."""
    objects = DirectoryStore(tmp_path / "lucir-data" / "store")
    versions = VersionStore(objects)
    for number in (1, 2):
        publish(versions, number, tmp_path)
        versions.point_to(number, "published")
    return objects


def requested(store: DirectoryStore) -> list[Operation]:
    return [request.operation for request in EditDesk(store, UpdateRecords(store)).pending()]


def test_requests_lie_in_the_store_until_an_updater_runs(lucir: Run, store: DirectoryStore) -> None:
    answer = lucir("class", "rename", "cat", "Katze")
    assert answer.returncode == 0, answer.stderr
    assert "when `lucir up` runs" in answer.stdout
    document = json.loads(lucir("class", "merge", "cat", "owl", "--into", "beast", "--json").stdout)
    assert document["state"] == "waiting"
    assert lucir("class", "remove", "dog", "--delete-originals", "--yes").returncode == 0
    assert requested(store) == [
        Rename(name="cat", to="Katze"),
        Merge(names=("cat", "owl"), into="beast"),
        Remove(name="dog", delete_originals=True),
    ]


def test_an_image_is_named_by_key_by_hash_or_by_file(lucir: Run, store: DirectoryStore, tmp_path: Path) -> None:
    store.write("archive/000001/cat/a.png", b"one")
    (tmp_path / "mine.png").write_bytes(b"two")
    answer = lucir(
        "image", "delete", "archive/000001/cat/a.png", "mine.png", "AB" * 32, "archive/000001/cat/a.png", "--yes"
    )
    assert answer.returncode == 0, answer.stderr
    hashes = (hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"two").hexdigest(), "ab" * 32)
    assert requested(store) == [DeleteImages(hashes=hashes)]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["class", "rename", "cta", "x"], 1, "there is no class 'cta': did you mean cat"),
        (["class", "rename", "cat", "dog"], 1, "lucir class merge cat --into dog"),
        (["class", "rename", "cat", ".."], 1, "no class name"),
        (["class", "remove", "cat"], 2, "add --yes"),
        (["class", "merge", "cat", "--into", "cat"], 1, "at least two"),
        (["class", "merge", "cat", "dog", "owl", "--into", "x", "--wait"], 1, "only the class 'x' would be left"),
        (["image", "delete", "nowhere.png", "--yes"], 1, "neither a file here, nor a sha256, nor a key"),
        (["image", "delete", "archive/1/x.png", "--yes"], 1, "there is no such object"),
        (["class", "rename", "cat", "x", "--wait", "--timeout", "1"], 1, "the request stays in the store"),
        (["report", "1"], 1, "version 1 has no report"),
        (["report", "7"], 1, "there is no version 7"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_cannot_be_done_is_said_in_a_line(words: list[str], status: int, message: str, lucir: Run) -> None:
    answer = lucir(*words)
    assert answer.returncode == status
    assert message in answer.stderr


@pytest.mark.parametrize("words", [["class", "rename"], ["class", "merge"], ["class", "remove"], ["image", "delete"]])
def test_help_has_an_example(words: list[str], lucir: Run) -> None:
    assert f"Example: lucir {' '.join(words)}" in lucir(*words, "--help").stdout
