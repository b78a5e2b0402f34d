"""What is left of images that were taken out of a version with a frozen backbone: nothing, and the answer says so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.bucket.edit_documents import DeleteImages, Remove, Rename
from handlers.bucket.report_document import Report
from handlers.client.version_list import list_versions
from handlers.updater.edits.receipt import NOTHING_LEFT, WEIGHTS
from handlers.updater.http.versions import describe
from handlers.updater.release.report.doubts import WARNED_SHARE
from lucir_core.frozen.intervals import accuracy_interval
from lucir_core.memory.feature_memory import FeatureMemory
from tests.handlers.conftest import DigitFiles
from tests.support.learning.bench import Bench, InProcess, digit_settings, drop_digits
from tests.support.present import present
from tests.support.stores.inspected import note_downloads, sha

pytestmark = pytest.mark.slow

FROZEN = {"method": "analytic", "head": "analytic", "frozen": True, "size": 32, "resize": 32}


@pytest.fixture
def bench(tmp_path: Path, digit_files: DigitFiles, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A stack whose version 1 knows three digits by a frozen backbone (untrained: what it answers does not matter)."""
    monkeypatch.setattr("handlers.updater.service.Child", InProcess)
    settings = digit_settings(tmp_path / "data", **FROZEN)
    for name, digit in (("zero", 0), ("one", 1), ("two", 2)):
        drop_digits(settings.data / "store", name, digit_files[digit][:6])
    bench = Bench(settings)
    assert bench.run("000001").result == "published"
    yield bench
    bench.close()


def test_what_was_made_here_is_not_fetched_for_the_next_update(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = note_downloads(monkeypatch)
    bench.ask(Rename(name="one", to="uno"), "000002")
    bench.restart()  # the files lie where they lay
    bench.ask(Remove(name="two"), "000003")
    assert bench.served().version == 3
    # The answer to an edit looks for images in older versions, never for what learning goes on from.
    assert fetched
    assert [key for key in fetched if key.endswith(("/checkpoint.safetensors", "/features.safetensors"))] == []


def test_the_answer_says_that_nothing_is_left(bench: Bench, digit_files: DigitFiles) -> None:
    gone = digit_files[0][3]
    notes = present(bench.ask(DeleteImages(hashes=(sha(gone),)), "000002").answer).notes
    assert NOTHING_LEFT in notes
    assert WEIGHTS not in notes
    assert len(_features(bench, 2)) == len(_features(bench, 1)) - 1

    assert NOTHING_LEFT in present(bench.ask(Remove(name="two"), "000003").answer).notes
    assert set(_features(bench, 3).labels.tolist()) == {0, 1}


def test_the_report_of_a_drop_names_images_to_look_at_by_their_keys(bench: Bench) -> None:
    path = bench.root / "versions" / "1" / "report.json"
    report = Report.model_validate_json(path.read_bytes())
    assert report.accuracy.interval == interval_of_left_out(bench)
    doubts = present(report.doubts)
    assert doubts.judged == 18
    stored = {info.key for info in bench.store.list("archive/")}
    assert {row.key for row in doubts.mislabelled} <= stored
    warned = [error for error in bench.updater.status.snapshot()["errors"] if error["where"] == "labels"]
    assert bool(warned) == (doubts.share > WARNED_SHARE)


def interval_of_left_out(bench: Bench) -> tuple[float, float]:
    """What report, list of versions and page are to say of version 1's 18 left-out images; all say the same."""
    evaluation = bench.versions.evaluation(1)
    assert evaluation.left_out == evaluation.images == 18
    found = accuracy_interval(evaluation.cnn.all, [6, 6, 6], left_out=True)
    (row,) = list_versions(bench.store)
    assert row.interval == (found.low, found.high)
    page = describe(bench.versions.manifest(1), evaluation, "")
    assert page["interval"] == [found.low, found.high]
    one = accuracy_interval(evaluation.class_accuracy["one"], [6], left_out=True)
    assert page["class_intervals"]["one"] == [one.low, one.high]
    return found.low, found.high


def _features(bench: Bench, version: int) -> FeatureMemory:
    return FeatureMemory.load(bench.root / "versions" / str(version) / "features.safetensors")
