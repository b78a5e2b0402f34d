"""A frozen backbone is refined while nothing else is to be done: served if surely better, else kept and said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.bucket.edit_documents import DeleteImages, Rename
from handlers.bucket.report_document import REPORT_JSON, Report
from handlers.bucket.version_changes import changes_of
from handlers.client.version_list import list_versions
from handlers.settings import Settings
from handlers.updater import service
from handlers.updater.edits.receipt import NOTHING_LEFT, REFINED
from handlers.updater.http.versions import VersionsView
from handlers.updater.training import train_job
from handlers.updater.workflow import relearn_steps
from handlers.updater.workflow.relearn_steps import RELEARN_STEPS
from lucir_core.memory.feature_memory import FeatureMemory
from lucir_core.state import load_state
from tests.handlers.conftest import DigitFiles
from tests.handlers.updater.workflow.conftest import on_a_copy
from tests.support.learning.bench import Bench, InProcess, Killed, When, digit_settings, drop_digits, dying
from tests.support.learning.refined import drawn_weights, frozen_overrides
from tests.support.learning.tiny import weights_equal
from tests.support.present import present
from tests.support.quick_settings import changed
from tests.support.stores.inspected import sha

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_process")]

EACH = 24


def frozen_settings(data: Path, weights: Path, **refine: object) -> Settings:
    """Of a service whose backbone stays as it is; nothing is refined until a test says so."""
    plain = digit_settings(data)
    overrides = frozen_overrides(weights, **refine)
    return changed(plain, learning={"preset": "photo", "overrides": overrides, "refine": "off"})


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_weights(tmp_path_factory.mktemp("weights") / "drawn.safetensors")


@pytest.fixture(scope="session")
def ten_digits(tmp_path_factory: pytest.TempPathFactory, digit_files: DigitFiles, weights: Path) -> Path:
    """A data folder whose version 1 knows all digits by a backbone that is good for little."""
    data = tmp_path_factory.mktemp("frozen") / "data"
    for digit in range(10):
        drop_digits(data / "store", f"d{digit}", digit_files[digit][:EACH])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(service, "Child", InProcess)
        bench = Bench(frozen_settings(data, weights))
        assert bench.run("000001").result == "published"
        bench.close()
    return data


@pytest.fixture
def bench(ten_digits: Path, weights: Path, tmp_path: Path) -> Iterator[Bench]:
    yield from on_a_copy(ten_digits, frozen_settings(tmp_path / "data", weights))


def refining(bench: Bench, **refine: object) -> Bench:
    """The same, with the setting on and single values of the refinement changed."""
    overrides = dict(bench.settings.learning.overrides)
    overrides["refine"] |= refine
    bench.change(learning={"refine": "on", "overrides": overrides})
    return bench


def counted(bench: Bench, result: str) -> float | None:
    return bench.updater.metrics.registry.get_sample_value("lucir_refinements_total", {"result": result})


def test_what_is_surely_better_is_served_and_learnt_on(bench: Bench, digit_files: DigitFiles) -> None:
    done = refining(bench).run("000002")
    assert (done.result, bench.served().version, bench.served().reason) == ("published", 2, "refined by update 000002")
    manifest, before = bench.versions.manifest(2), bench.versions.manifest(1)
    found = present(manifest.refinement)
    assert found.is_surely_better
    assert (manifest.parent, manifest.classes, manifest.counts.train) == (1, before.classes, before.counts.train)
    assert bench.learnt(2).counts() == bench.learnt(1).counts()
    # Only images that the backbone has not learnt from count, on the page too.
    assert bench.versions.evaluation(2).images == found.images == 240 - found.learnt_from
    report = Report.model_validate_json((bench.root / "versions" / "2" / REPORT_JSON).read_bytes())
    assert report.refinement == found
    assert changes_of(manifest, bench.versions, bench.updater.records) == f"refined: {found}"
    assert counted(bench, "published") == 1
    assert bench.updater.metrics.registry.get_sample_value("lucir_drop_to_served_seconds_count") == 0
    assert bench.due_refinement() is None

    drop_digits(bench.root, "d0", digit_files[0][60:66])
    assert bench.run("000003").result == "published"
    versions = bench.root / "versions"
    backbones = [load_state(versions / number).model.backbone for number in "23"]
    assert weights_equal(*backbones), "what is learnt next goes on from the refined backbone"
    assert bench.due_refinement() is not None, "and is refined once more"


def test_what_is_not_surely_better_is_kept_and_said_once(bench: Bench) -> None:
    done = refining(bench, steps=1, balanced_steps=0, lr=1e-6).run("000002")
    assert (done.result, done.version, bench.served().version) == ("refused", 2, 1)
    reason = present(done.reason)
    assert reason.startswith("refined: ")
    assert reason.endswith("not surely better, version 1 stays")
    (row,) = [row for row in list_versions(bench.store) if row.version == 2]
    assert (row.gate, row.gate_reasons, row.current) == ("refused", (reason,), False)
    shown = VersionsView(bench.versions, bench.updater.records).one(2)
    assert shown["refinement"]["images"] == present(row.refinement)["images"]
    assert bench.updater.status.snapshot()["errors"] == [], "nothing is wrong"
    assert bench.updater.metrics.registry.get_sample_value("lucir_updates_total", {"result": "refused"}) == 0
    assert counted(bench, "kept") == 1
    assert bench.due_refinement() is None
    bench.restart()
    bench.run("000002")  # as after a start
    assert bench.due_refinement() is None
    assert bench.updater.status.snapshot()["last_update"]["refined"] is True

    # Another version served in the end is another case.
    bench.ask(Rename(name="d9", to="neun"), "000003")
    assert bench.run("000004").result == "refused"
    assert bench.updater.records.refinements().keys() == {1, 3}


def test_it_gives_way_to_a_drop_and_comes_again(
    bench: Bench, digit_files: DigitFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    refining(bench)
    refine = train_job.refine_state

    def interrupted(*arguments: object, **options: object) -> object:
        drop_digits(bench.root, "d0", digit_files[0][60:66])
        bench.see_what_arrives()
        return refine(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(train_job, "refine_state", interrupted)
    assert bench.run("000002").result == "superseded"
    assert bench.versions.numbers() == [1]
    monkeypatch.setattr(train_job, "refine_state", refine)
    assert (bench.run("000003").result, bench.served().version) == ("published", 2)
    assert bench.run("000004").result in ("published", "refused"), "it is tried again, whatever comes of it"
    assert bench.versions.manifest(3).refinement is not None
    assert counted(bench, "gave_way") == 1


def test_it_gives_way_to_a_request(bench: Bench) -> None:
    refining(bench)
    bench.updater.records.begin({}, present(bench.due_refinement()))
    bench.restart()  # an update in the middle is gone on with first
    asked = bench.updater.edits.submit(Rename(name="d9", to="neun"))
    assert bench.run("000002").reason == "the refinement gives way: a request waits"
    assert bench.run("000003").result == "published"
    assert bench.updater.edits.state(asked.id).state == "done"


@pytest.mark.parametrize(
    ("name", "when"),
    [("gather", "after"), ("learn", "before"), ("learn", "after"), ("store", "after"), ("point", "after")],
)
def test_a_kill_anywhere_leaves_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, when: When) -> None:
    better = name == "point"  # the others never come so far
    refining(bench, **({} if better else {"steps": 1, "balanced_steps": 0, "lr": 1e-6}))
    runs: list[str] = []
    monkeypatch.setattr(service, "RELEARN_STEPS", dying(RELEARN_STEPS, name, when, runs))
    with pytest.raises(Killed):
        bench.run("000002")
    monkeypatch.setattr(service, "RELEARN_STEPS", RELEARN_STEPS)
    bench.restart()
    done = bench.run("000002")
    assert (done.result, bench.served().version) == (("published", 2) if better else ("refused", 1))
    assert bench.updater.records.refinements().keys() == {1}
    assert bench.due_refinement() is None


def test_images_that_are_gone_or_too_few_end_it_quietly(bench: Bench) -> None:
    (bench.root / bench.archived("d3")[0]).unlink()
    done = refining(bench).run("000002")
    assert (done.result, done.version) == ("rejected", None)
    said = "of 240 images that version 1 has learnt, 239 can be read again; 1 learnt image of 'd3'"
    assert said in present(done.reason)
    assert counted(bench, "not_possible") == 1
    assert bench.due_refinement() is None


def test_a_deleted_image_is_said_to_be_left_in_the_weights(bench: Bench, digit_files: DigitFiles) -> None:
    assert refining(bench).run("000002").result == "published"
    memory = FeatureMemory.load(bench.root / "versions" / "2" / "features.safetensors")
    seen = {digest.tobytes() for digest in memory.digests[present(memory.seen)]}
    of_image = {name: next(iter(bench.learnt(2).digests_of([name]))) for name in map(sha, digit_files[0][:EACH])}
    learnt_from = next(name for name, digest in of_image.items() if digest in seen)
    held_back = next(name for name, digest in of_image.items() if digest not in seen)
    for update, name, note in (("000003", held_back, NOTHING_LEFT), ("000004", learnt_from, REFINED)):
        bench.change(learning={"refine": "off"})
        assert note in present(bench.ask(DeleteImages(hashes=(name,)), update).answer).notes


def test_what_fails_again_and_again_is_not_tried_for_ever(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("nothing helps")

    monkeypatch.setattr(relearn_steps, "all_learnt", broken)
    refining(bench)
    for _ in range(2):
        with pytest.raises(ValueError, match="nothing helps"):
            bench.run("000002")
    done = bench.run("000002")
    assert (done.result, done.reason) == ("failed", "gather failed 3 times: nothing helps")
    assert bench.updater.metrics.registry.get_sample_value("lucir_updates_total", {"result": "failed"}) == 0
    assert counted(bench, "failed") == 1
    assert bench.due_refinement() is None
