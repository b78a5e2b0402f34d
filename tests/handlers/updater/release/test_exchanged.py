"""A fifth of a drop's labels exchanged: what the log, the report and the status of a real update say of it."""

import logging
from pathlib import Path

import pytest

from handlers.bucket.report_document import Report
from handlers.settings import Settings
from tests.end_to_end.test_photographs import crops
from tests.support.learning.bench import Bench, InProcess
from tests.support.present import present

pytestmark = pytest.mark.slow
EACH, EXCHANGED = 15, 3


def test_exchanged_images_are_named_and_somebody_is_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("handlers.updater.service.Child", InProcess)
    parts = {name: crops(name, EACH, seed=4) for name in ("palace", "flower")}
    incoming, wrong = tmp_path / "data" / "store" / "incoming", set[str]()
    for name, other in (("palace", "flower"), ("flower", "palace")):
        (incoming / name).mkdir(parents=True)
        for number in range(EACH):
            is_wrong = number < EXCHANGED
            (incoming / name / f"{number}.jpg").write_bytes(parts[other if is_wrong else name][number])
            if is_wrong:
                wrong.add(f"archive/000001/{name}/{number}.jpg")
    settings = {"data": tmp_path / "data", "updater": {"settle_seconds": 0}, "learning": {"preset": "photo"}}
    bench = Bench(Settings.model_validate(settings))
    with caplog.at_level(logging.WARNING):
        assert bench.run("000001").result == "published"
    doubts = present(Report.model_validate_json((bench.root / "versions/1/report.json").read_bytes()).doubts)
    warned = [error["message"] for error in bench.updater.status.snapshot()["errors"] if error["where"] == "labels"]
    bench.close()
    named = {row.key for row in doubts.mislabelled}
    assert len(named & wrong) >= 0.8 * len(wrong)
    assert len(named - wrong) <= 0.05 * (2 * EACH - len(wrong))
    assert [f"{len(doubts.mislabelled)} of {2 * EACH} images" in message for message in warned] == [True]
    assert any("look mislabelled" in record.getMessage() for record in caplog.records)
