"""``lucir versions`` and ``lucir rollback`` on a real store without a running stack."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from handlers.bucket.edit_documents import EditRequest, Rename
from handlers.bucket.updates import UpdateRecords
from handlers.cli.output.versions_output import show
from handlers.client.version_list import VersionRow
from handlers.inference.sessions.copy_choice import Choice, CopyRules, Device, MeasuredCopy, remember
from model_store.directory.directory_store import DirectoryStore
from model_store.manifest import Gate, now
from model_store.versions import VersionStore
from tests.handlers.cli.conftest import Run, refusal
from tests.support.present import present
from tests.support.stores.published import pointed, publish, publish_first


def test_nothing_is_cut_off_beside_names_of_usual_length(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    row = VersionRow(1, current=True, kind="learnt", created_at="2026-11-27T10:23:00", new_classes=("airplane",))
    figures = {"accuracy": 1.0, "interval": (0.954, 1.0), "images": 80, "old_accuracy": 1.0, "forgetting": -0.688}
    show([replace(row, **figures)], as_json=False)  # type: ignore[arg-type]
    table = capsys.readouterr().out
    assert [
        whole for whole in ("airplane ", "(95.4-100.0,", "80 images)", "-68.8%", "lost") if whole not in table
    ] == []


@pytest.fixture
def versions(tmp_path: Path) -> VersionStore:
    """Three versions, the last one refused; the second is served."""
    store = VersionStore(DirectoryStore(tmp_path / "lucir-data" / "store"))
    return publish_first(store, 3, tmp_path, 1, 2)


@pytest.mark.usefixtures("versions")
def test_versions_with_their_figures(lucir: Run) -> None:
    rows = json.loads(lucir("versions", "--json").stdout)
    assert [row["version"] for row in rows] == [1, 2, 3]
    assert [row["current"] for row in rows] == [False, True, False]
    assert [row["kind"] for row in rows] == ["learnt", "learnt", "provisional"]
    assert rows[1]["old_accuracy"] == 0.85
    assert rows[2]["gate_reasons"] == ["too bad"]
    assert rows[1]["images"] == 10
    assert [round(bound, 3) for bound in rows[1]["interval"]] == [0.596, 0.982]
    table = lucir("versions").stdout
    assert "lost" in table.splitlines()[0]  # 80 columns hold the table
    for words in ("90.0%", "(59.6-98.2,", "10 images)", "85.0%", "refused", "provisional"):
        assert words in table, words


@pytest.mark.usefixtures("versions")
def test_versions_say_which_copy_answers_on_this_machine(lucir: Run, tmp_path: Path) -> None:
    (tmp_path / "lucir-data" / "models" / "lucir-2").mkdir(parents=True)
    choice = Choice("int8", 3.14, 8, (MeasuredCopy("fp32", 2.0, 2.0), MeasuredCopy("int8", 0.6, 0.6, 0, 0.01)))
    remember(tmp_path / "lucir-data" / "models" / "lucir-2", choice, CopyRules(), Device(1), "digest")
    assert "version 2 answers here with its copy int8, 3.1 times as fast as published" in lucir("versions").stdout
    rows = json.loads(lucir("versions", "--json").stdout)
    assert rows[1]["serving_copy"]["measured"][1]["change"] == 0.01
    assert rows[0]["serving_copy"] is None


@pytest.mark.usefixtures("versions")
def test_a_damaged_version_is_shown_as_such(lucir: Run, tmp_path: Path) -> None:
    (tmp_path / "lucir-data" / "store" / "versions" / "1" / "manifest.json").write_text("{")
    rows = json.loads(lucir("versions", "--json").stdout)
    assert "versions/1/manifest.json" in rows[0]["error"]
    assert rows[1]["accuracy"] == 0.9


def test_versions_say_what_an_edit_did(lucir: Run, versions: VersionStore, tmp_path: Path) -> None:
    records = UpdateRecords(versions.objects)
    request = EditRequest(
        id="000000-0000000000001-00000000", created_at=now(), operation=Rename(name="cat", to="Katze")
    )
    update = records.begin({}, request).id
    publish(versions, 4, tmp_path, kind="edited", update_id=update)
    publish(versions, 5, tmp_path, kind="edited", update_id="000009")
    answer = lucir("versions", COLUMNS="80").stdout
    assert "version 4: rename 'cat' to 'Katze'" in answer
    assert "version 5: edited: the request is no longer stored" in answer
    rows = json.loads(lucir("versions", "--json").stdout)
    assert rows[3]["changed"] == "rename 'cat' to 'Katze'"
    assert rows[0]["changed"].startswith("learnt 'dog'")


def test_versions_say_what_too_few_images_leave_open(lucir: Run, versions: VersionStore, tmp_path: Path) -> None:
    publish(versions, 4, tmp_path, kind="edited", gate=Gate(passed=True, undecided=("0 of 2 images of 'owl'",)))
    answer = lucir("versions", COLUMNS="80").stdout
    assert "unsure" in answer
    assert "version 4, inconclusive: 0 of 2 images of 'owl'" in answer
    assert json.loads(lucir("versions", "--json").stdout)[3]["gate"] == "inconclusive"


@pytest.mark.parametrize("command", [["versions"], ["rollback", "1"]])
def test_a_store_that_is_not_there_is_a_wrong_name_and_is_not_made(
    command: list[str], lucir: Run, tmp_path: Path
) -> None:
    said = refusal(lucir(*command))
    assert f"there is no store in {tmp_path / 'lucir-data' / 'store'}: name the stack's folder" in said
    assert list(tmp_path.iterdir()) == []


def test_no_version_yet(lucir: Run, tmp_path: Path) -> None:
    DirectoryStore(tmp_path / "lucir-data" / "store")
    assert "no version yet: drop at least two class folders" in lucir("versions").stdout
    assert json.loads(lucir("versions", "--json").stdout) == []


def test_rollback_moves_the_pointer(lucir: Run, versions: VersionStore) -> None:
    answer = lucir("rollback", "1", "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == {"version": 1, "previous": 2, "served": None, "forced": False}
    assert (pointed(versions), present(versions.current()).reason) == (1, "rollback")


def test_a_refused_version_is_served_only_by_force(lucir: Run, versions: VersionStore) -> None:
    said = refusal(lucir("rollback", "3"))
    assert "the gate refused version 3: too bad" in said
    assert "lucir rollback 3 --force" in said
    assert pointed(versions) == 2
    forced = lucir("rollback", "3", "--force", "--json")
    assert json.loads(forced.stdout) == {"version": 3, "previous": 2, "served": None, "forced": True}
    assert (pointed(versions), present(versions.current()).reason) == (3, "rollback, forced: too bad")


def test_rollback_to_what_is_not_there_or_damaged_changes_nothing(
    lucir: Run, versions: VersionStore, tmp_path: Path
) -> None:
    missing = refusal(lucir("rollback", "9"))
    assert "there is no version 9" in missing
    assert "there are: 1, 2, 3" in missing
    (tmp_path / "lucir-data" / "store" / "versions" / "1" / "model.onnx").write_bytes(b"model x")
    assert "model.onnx" in refusal(lucir("rollback", "1"))
    assert pointed(versions) == 2
