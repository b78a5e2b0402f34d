"""``lucir class``, ``lucir image`` and ``lucir report`` on a real store without a running stack."""

import hashlib
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from handlers.bucket.edit_documents import DeleteImages, EditAnswer, Merge, Operation, Remove, Rename
from handlers.bucket.edit_requests import EditDesk, RequestState
from handlers.bucket.updates import UpdateRecords
from handlers.cli.output import edit_output
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tests.handlers.cli.conftest import Run, refusal
from tests.support.documents import make_done
from tests.support.stores.published import publish, publish_first


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """Version 2 knows cat, dog and owl."""
    objects = DirectoryStore(tmp_path / "lucir-data" / "store")
    publish_first(VersionStore(objects), 2, tmp_path, 1, 2)
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
        (["class", "rename", "cat", ".."], 1, "not a class name"),
        (["class", "remove", "cat"], 2, "add --yes (lucir rollback VERSION undoes it)"),
        (["class", "remove", "cat", "--delete-originals"], 2, "add --yes (deleted originals cannot be had back"),
        (["image", "delete", "ab" * 32], 2, "add --yes (deleted originals cannot be had back"),
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
    assert message in refusal(lucir(*words), status)


def test_a_store_that_no_stack_here_works_on_is_left_to_its_updater(
    lucir: Run, store: DirectoryStore, tmp_path: Path
) -> None:
    (tmp_path / "mine" / "owl").mkdir(parents=True)
    (tmp_path / "mine" / "owl" / "1.png").write_bytes(b"owl")
    for words in (["class", "rename", "cat", "x"], ["drop", "mine"]):
        answer = lucir(*words, "--data", tmp_path / "elsewhere", "--store", store.url)
        assert answer.returncode == 0, answer.stderr
        assert f"by the updater of {store.url}" in answer.stdout
        assert "no stack is running" not in answer.stdout


def test_the_advice_after_a_deletion_removes_what_it_says(lucir: Run, tmp_path: Path) -> None:
    objects = DirectoryStore(tmp_path / "lucir-data" / "store")
    versions = VersionStore(objects)
    for number in (1, 2, 3, 4, 5):
        publish(versions, number, tmp_path, kind="edited" if number == 5 else "learnt")
        versions.point_to(number, "published")
    operation = DeleteImages(hashes=("ab" * 32,))
    answer = EditAnswer(
        request="000005-0000000000001-00000000",
        operation=operation,
        version=5,
        exemplars_removed=1,
        held_out_removed=0,
        files=(),
        deleted=("archive/1/cat/1.png",),
        left=(),
        versions=(1, 2, 3, 4),
        notes=(),
    )
    console = Console(file=io.StringIO(), width=80)
    state = RequestState(state="done", answer=answer, done=make_done("000005", version=5))
    edit_output.show("", state, console, who="", as_json=False)
    told = console.file.getvalue()
    (advice,) = re.findall(r"To remove them: lucir ([^;]*);", told)
    assert lucir(*advice.split()).returncode == 0
    assert versions.numbers() == [4, 5]  # "the one before, to which a rollback would go, stays"
