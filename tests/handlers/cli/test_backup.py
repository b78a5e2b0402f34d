"""``lucir backup`` and ``lucir restore``, and the same from Python."""

import json
from pathlib import Path

from handlers.client import Client
from tests.handlers.cli.conftest import Run, refusal
from tests.support.stores.old_store import copy_whole


def test_a_store_is_copied_and_restored_elsewhere(lucir: Run, tmp_path: Path) -> None:
    copy_whole(tmp_path / "store")
    store, copy, back = (tmp_path / name for name in ("store", "copy", "back"))
    first = lucir("backup", copy, "--store", store.as_uri())
    assert first.returncode == 0, first.stderr
    assert "it serves version 4" in first.stdout
    told = json.loads(lucir("backup", copy, "--store", store.as_uri(), "--json").stdout)
    assert told["unchanged"] > 60
    with Client(store=back.as_uri()) as client:
        assert client.restore(str(copy)).version == 4
    assert "into an empty store only" in refusal(lucir("restore", copy, "--store", back.as_uri()))
    rows = json.loads(lucir("versions", "--store", back.as_uri(), "--json").stdout)
    assert [row["version"] for row in rows if row["current"]] == [4]


def test_a_file_that_the_store_lost_fails_the_run_and_names_what_to_put_back(lucir: Run, tmp_path: Path) -> None:
    copy_whole(tmp_path / "store")
    store, copy = tmp_path / "store", tmp_path / "copy"
    with Client(store=store.as_uri()) as client:
        client.backup(str(copy))
    (store / "versions" / "4" / "model.onnx").unlink()
    said = refusal(lucir("backup", copy, "--store", store.as_uri()))
    assert "versions/4/model.onnx" in said
    assert "put them back" in said
    assert (copy / "versions" / "4" / "model.onnx").exists()


def test_a_file_that_was_lost_before_the_first_run_fails_it_too(lucir: Run, tmp_path: Path) -> None:
    copy_whole(tmp_path / "store")
    store, copy = tmp_path / "store", tmp_path / "copy"
    (store / "versions" / "4" / "model.onnx").unlink()
    run = lucir("backup", copy, "--store", store.as_uri(), "--json")
    assert run.returncode == 1
    assert json.loads(run.stdout)["lost"] == ["versions/4/model.onnx"]
    assert "put them back from another backup" in refusal(lucir("backup", copy, "--store", store.as_uri()))
