"""``lucir prune`` on a real store without a running stack."""

import json
from pathlib import Path

import pytest

from model_store.versions import VersionStore
from tests.handlers.cli.conftest import Run, refusal
from tests.handlers.cli.test_versions import versions
from tests.support.stores.published import publish as publish_version

__all__ = ["versions"]  # the fixture: 1 and 2 are learnt, 3 is provisional; 2 is served


@pytest.fixture(autouse=True)
def _more(versions: VersionStore, tmp_path: Path) -> None:
    for number in (4, 5):
        publish_version(versions, number, tmp_path)


def test_a_dry_run_tells_what_would_go_and_why_the_rest_stays(lucir: Run, versions: VersionStore) -> None:
    told = json.loads(lucir("prune", "--dry-run", "--json", "--set", "retention.keep_versions=5").stdout)
    assert (told["dry_run"], list(told["versions"])) == (True, ["3", "4"])
    assert told["kept"]["2"] == "served"
    table = lucir("prune", "--dry-run", "--set", "retention.keep_versions=2").stdout
    assert "would be removed: 2 versions" in table
    assert "a rollback goes there first" in table
    assert versions.numbers() == [1, 2, 3, 4, 5]


def test_removes_what_it_told(lucir: Run, versions: VersionStore, tmp_path: Path) -> None:
    (tmp_path / "lucir-data/store/versions/3/notes.txt").write_text("mine")
    answer = lucir("prune", LUCIR_RETENTION__KEEP_VERSIONS="2")
    assert answer.returncode == 0
    assert "removed: 2 versions" in answer.stdout
    assert "left, because the service did not write it: versions/3/notes.txt" in answer.stdout
    assert versions.numbers() == [1, 2, 5]
    assert "removed: 0 versions" in lucir("prune", LUCIR_RETENTION__KEEP_VERSIONS="2").stdout


@pytest.mark.parametrize(
    ("value", "message"),
    [("retention.keep_versions=1", "greater than or equal to 2"), ("gate.min_new_accuracy=0", "only retention.*")],
)
def test_wrong_values_remove_nothing(lucir: Run, versions: VersionStore, value: str, message: str) -> None:
    assert message in refusal(lucir("prune", "--set", value), 2)
    assert versions.numbers() == [1, 2, 3, 4, 5]
