"""Rename, merge, remove, delete on a version that was really learnt; killed between any two steps."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handlers.bucket.edit_documents import DeleteImages, Merge, Operation, Remove, Rename
from handlers.bucket.edit_requests import RequestState
from handlers.bucket.edit_rules import EditError
from handlers.bucket.seen_images import Learnt
from handlers.bucket.update_documents import Done, Plan
from handlers.bucket.updates import DONE
from handlers.inference.preprocess import crop
from handlers.settings import Settings
from handlers.torchserve.canary import Canary
from handlers.updater import service
from handlers.updater.release.evaluate import open_model
from handlers.updater.service import Updater
from handlers.updater.training import edit_job as editor
from handlers.updater.training import train_job as learner
from handlers.updater.training.messages import TASK, EditTask, Task
from handlers.updater.training.process import Child, Job
from handlers.updater.workflow import edit_steps as edit_steps
from handlers.updater.workflow.runner import Step
from lucir_core.config.phase_config import load_preset
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tests.handlers.conftest import DigitFiles

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """The process ends here, as far as the updater can tell."""


class Bench:
    """An updater without server and threads of its own; ``restart`` leaves nothing of it but the store and the disk."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = settings.data / "store"
        self.store = DirectoryStore(self.root)
        self.versions = VersionStore(self.store)
        self._make()

    def _make(self) -> None:
        config = load_preset(self.settings.learning.preset, self.settings.learning.overrides)
        self.updater = Updater(self.settings, config, DirectoryStore(self.root))
        self.updater._leadership.start()
        self.updater._services.wait_served = lambda version, dropped: True
        assert self.updater._leadership.wait_active(30)

    def restart(self) -> None:
        self.close()
        self._make()

    def close(self) -> None:
        self.updater._leadership.stop()

    def run(self, update_id: str) -> Done:
        """Go on until an update has ended, and what it leaves has been settled."""
        for _ in range(30):
            if (done := self.updater.records.read(Done, update_id, DONE)) is not None:
                self.updater._restore()
                return done
            self.updater._watcher.look()
            self.updater._once()
        raise AssertionError(f"update {update_id} does not end: {self.updater.status.snapshot()}")

    def ask(self, operation: Operation, update_id: str) -> RequestState:
        """Submit a request that becomes this update, and see it through."""
        request = self.updater.edits.submit(operation)
        self.run(update_id)
        state = self.updater.edits.state(request.id)
        assert state.update_id == update_id
        return state

    def blobs(self, version: int, name: str) -> ImageBlobs:
        return ImageBlobs.load(self.root / "versions" / str(version) / f"{name}.safetensors")

    def learnt(self, version: int) -> Learnt:
        return Learnt.load(self.root / "versions" / str(version) / "learnt.safetensors")

    def answers(self, version: int, pictures: np.ndarray) -> np.ndarray:
        """Names of the best classes."""
        size = self.versions.manifest(version).preprocessing.size
        session = open_model(self.root / "versions" / str(version) / "model.onnx", 1)
        (probabilities,) = session.run(["probabilities"], {"images": np.stack([crop(p, size) for p in pictures])})
        return np.array(self.versions.manifest(version).classes)[probabilities.argmax(axis=1)]


@pytest.fixture(scope="module")
def learnt_once(tmp_path_factory: pytest.TempPathFactory, digit_files: DigitFiles) -> Path:
    """A data folder whose version 1 knows "one", "two" and "zero"."""
    data = tmp_path_factory.mktemp("learnt") / "data"
    for name, digit in (("zero", 0), ("one", 1), ("two", 2)):
        folder = data / "store" / "incoming" / name
        folder.mkdir(parents=True)
        for index in range(15):
            (folder / f"{index:03d}.png").write_bytes(digit_files[digit][index])
    (data / "store" / "incoming" / "zero" / "again.png").write_bytes(digit_files[0][3])
    bench = Bench(digit_settings(data))
    assert bench.run("000001").result == "published"
    bench.close()
    return data


def digit_settings(data: Path, **overrides: object) -> Settings:
    """Short phases on digits of 8 x 8 pixels; ``overrides``: more of ``learning.overrides``."""
    return Settings.model_validate(
        {
            "data": data,
            "updater": {"settle_seconds": 0, "min_images": 4, "poll_seconds": 0.2, "pointer_seconds": 0.2},
            "learning": {
                "preset": "digits",
                "overrides": {
                    "network": "resnet8",
                    "size": 8,
                    "resize": 8,
                    "epochs": 2,
                    "min_steps": 2,
                    "exemplars_per_class": 4,
                    "cbf": {"enabled": False},
                    **overrides,
                },
                "device": "cpu",
                "threads": 1,
                "nice": 0,
            },
            "gate": {"max_old_accuracy_loss": 1.0, "min_new_accuracy": 0.0},
        }
    )


class InProcess(Child):
    """What the child does, without the seconds that a process of its own takes to begin."""

    def warm(self) -> None:
        """Nothing gets ready."""

    def run(self, job: Job, folder: Path, *_: object) -> None:
        if job == "edit":
            editor.edit(folder, EditTask.read(folder / TASK))
        else:
            learner.learn(folder, Task.read(folder / TASK))


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "Child", InProcess)


@pytest.fixture
def bench(learnt_once: Path, tmp_path: Path) -> Iterator[Bench]:
    shutil.copytree(learnt_once, tmp_path / "data", ignore=shutil.ignore_patterns("*.sock", "work"))
    made = Bench(digit_settings(tmp_path / "data"))
    yield made
    made.close()


def requests_left(bench: Bench) -> list[str]:
    return [key for info in bench.store.list("requests/") if (key := info.key) != "requests/last.json"]


def archived(bench: Bench, name: str) -> list[str]:
    return sorted(info.key for info in bench.store.list(f"archive/000001/{name}/"))


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.usefixtures("in_process")
def test_rename_merge_and_remove_make_versions(bench: Bench, digit_files: DigitFiles) -> None:
    before = bench.versions.evaluation(1)
    (bench.root / "evaluation" / "one").mkdir(parents=True)
    state = bench.ask(Rename(name="one", to="eins"), "000002")
    assert (state.state, state.done and state.done.result) == ("done", "published")
    renamed = bench.versions.manifest(2)
    assert (renamed.kind, renamed.parent, renamed.classes) == ("edited", 1, ("eins", "two", "zero"))
    assert _edited(bench, "passed") == 1
    assert renamed.counts.train == {"eins": 12, "two": 12, "zero": 12}
    assert renamed.files["model.onnx"] == bench.versions.manifest(1).files["model.onnx"]
    canary = Canary.model_validate_json((bench.root / "versions/2/canary.json").read_bytes())
    assert {one.answer for one in canary.pictures} <= set(renamed.classes)
    evaluation = bench.versions.evaluation(2)
    assert evaluation.confusion == before.confusion
    assert evaluation.history == before.history
    assert evaluation.class_best == {"eins" if k == "one" else k: v for k, v in before.class_best.items()}
    assert bench.blobs(2, "holdout").classes == bench.learnt(2).classes == renamed.classes
    assert state.answer is not None
    assert any("evaluation/one/" in note for note in state.answer.notes)
    current = bench.versions.current()
    assert current is not None
    assert (current.version, current.reason) == (2, "rename 'one' to 'eins'")
    assert requests_left(bench) == []

    state = bench.ask(Merge(names=("zero", "two"), into="round"), "000003")
    assert bench.versions.manifest(3).classes == ("eins", "round")
    assert bench.versions.manifest(3).counts.train == {"eins": 12, "round": 24}
    assert bench.versions.manifest(3).counts.exemplars == {"eins": 4, "round": 4}
    assert bench.versions.manifest(3).counts.holdout == {"eins": 3, "round": 6}
    held = bench.blobs(3, "holdout")
    named = bench.answers(3, np.stack([held.decode(index) for index in range(len(held))]))
    right = np.mean(named == np.array(held.classes)[held.labels])
    assert right == pytest.approx(bench.versions.evaluation(3).cnn.all)

    with pytest.raises(EditError, match="only the class 'eins' would be left"):
        bench.updater.edits.submit(Remove(name="round"))
    # Later images join the renamed class; what was learnt under the old name is known.
    folder = bench.root / "incoming" / "eins"
    folder.mkdir()
    for index in (0, *range(20, 26)):
        (folder / f"{index}.png").write_bytes(digit_files[1][index])
    assert bench.run("000004").result == "published"
    plan = bench.updater.records.read(Plan, "000004", "plan.json")
    assert plan is not None
    assert (plan.updated_classes, plan.parent) == (("eins",), 3)
    assert [entry.reason for entry in plan.of_role("rejected")] == ["exactly this image was learnt before, as 'eins'"]


@pytest.mark.usefixtures("in_process")
def test_a_removed_class_is_gone_and_its_files_are_named(bench: Bench, digit_files: DigitFiles) -> None:
    files = archived(bench, "two")
    state = bench.ask(Remove(name="two"), "000002")
    assert bench.versions.manifest(2).classes == ("one", "zero")
    for name in ("exemplars", "holdout"):
        assert bench.blobs(2, name).classes == ("one", "zero")
    assert sorted({*bench.blobs(2, "exemplars").labels.tolist()}) == [0, 1]
    twos = [sha(data) for data in digit_files[2][:15]]
    assert (len(bench.learnt(1).find(twos)), bench.learnt(2).find(twos)) == (15, {})
    assert state.answer is not None
    assert list(state.answer.files) == files
    assert (state.answer.deleted, state.answer.versions) == ((), (1,))
    assert (state.answer.exemplars_removed, state.answer.held_out_removed) == (4, 3)
    assert archived(bench, "two") == files

    (bench.root / archived(bench, "zero")[0]).write_bytes(b"somebody else's")
    state = bench.ask(Rename(name="zero", to="null"), "000003")
    folder = bench.root / "incoming" / "two"
    folder.mkdir()
    for index in range(6):  # learnt before, and forgotten
        (folder / f"{index}.png").write_bytes(digit_files[2][index])
    assert bench.run("000004").result == "published"
    assert bench.versions.manifest(4).classes == ("one", "null", "two")
    foreign, *ours = archived(bench, "zero")
    state = bench.ask(Remove(name="null", delete_originals=True), "000005")
    assert state.answer is not None
    assert (list(state.answer.left), state.answer.files) == ([foreign], ())
    assert archived(bench, "zero") == [foreign]
    # The duplicate that had been rejected is the same image: it goes too, with its reason.
    assert sorted(state.answer.deleted) == sorted([*ours, "rejected/000001/zero/again.png"])
    assert list(bench.store.list("rejected/")) == []


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("known", [True, False])
def test_a_deleted_image_is_nowhere_but_in_older_versions(
    bench: Bench, digit_files: DigitFiles, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    if not known:  # as in versions made before the digests were written down: the stored original tells
        monkeypatch.setattr(Learnt, "digests_of", lambda self, hashes: set())
    exemplars, held = bench.blobs(1, "exemplars"), bench.blobs(1, "holdout")
    chosen = [_original_of(bench, blobs, 2) for blobs in (exemplars, held)]
    state = bench.ask(DeleteImages(hashes=tuple(sha(bench.store.read(key)) for key in chosen)), "000002")
    assert state.answer is not None
    assert sorted(state.answer.deleted) == sorted(chosen)
    assert (state.answer.exemplars_removed, state.answer.held_out_removed) == (1, 1)
    assert state.answer.versions == (1,)
    assert not {info.key for info in bench.store.list("archive/")} & set(chosen)
    for name, blobs in (("exemplars", exemplars), ("holdout", held)):
        after = bench.blobs(2, name)
        assert after.counts().tolist() == [blobs.counts()[0], blobs.counts()[1], blobs.counts()[2] - 1]
        assert set(after.pngs) < set(blobs.pngs)
    counts = bench.versions.manifest(2).counts
    assert (counts.train["zero"], counts.holdout["zero"], counts.exemplars["zero"]) == (11, 2, 3)
    assert len(bench.learnt(2).hashes) == len(bench.learnt(1).hashes) - 2
    # Again: nothing knows it any more.
    again = bench.ask(DeleteImages(hashes=(sha(digit_files[9][0]),)), "000003")
    assert again.done is not None
    assert (again.done.result, again.done.version) == ("rejected", None)
    assert "none of these images" in (again.done.reason or "")
    assert bench.versions.numbers() == [1, 2]


def _original_of(bench: Bench, blobs: ImageBlobs, label: int) -> str:
    """The archived file that a stored picture was made of: the one whose pixels are the same."""
    reader = edit_steps.edit_reader(_any_update(bench), _base(bench))
    wanted = blobs.decode(int(blobs.indices_of(label)[0]))
    for key in archived(bench, blobs.classes[label]):
        if (reader.picture(bench.store.read(key)) == wanted).all():
            return key
    raise AssertionError("no original")


def _any_update(bench: Bench) -> service.Update:
    intent = bench.updater.records.intent("000001")
    assert intent is not None
    return service.Update(bench.updater._services, intent)


def _base(bench: Bench) -> edit_steps.Base:
    return edit_steps.fetch_base(bench.versions, 1, bench.settings.work_folder)


@pytest.mark.usefixtures("in_process")
@pytest.mark.timeout(600)
def test_an_edit_survives_a_kill_at_every_step(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    doomed = archived(bench, "one")[:2]
    operation = DeleteImages(hashes=tuple(sha(bench.store.read(key)) for key in doomed))
    request = bench.updater.edits.submit(operation)
    original, runs = edit_steps.EDIT_STEPS, []

    def dying(name: str, when: str) -> tuple[Step, ...]:
        def wrap(step: Step) -> Step:
            def run(update: service.Update) -> None:
                if when == "after":
                    runs.append(step.name)
                    step.run(update)
                raise Killed

            return replace(step, run=run) if step.name == name else step

        return tuple(wrap(step) for step in original)

    for name in [step.name for step in original]:
        for when in ("before", "after"):
            monkeypatch.setattr(service, "EDIT_STEPS", dying(name, when))
            if (name, when) == ("swap", "before"):
                shutil.rmtree(bench.settings.work_folder)  # another machine goes on
            with pytest.raises(Killed):
                bench.run("000002")
            bench.restart()
    monkeypatch.setattr(service, "EDIT_STEPS", original)
    assert bench.run("000002").result == "published"
    assert runs == [step.name for step in original]
    bench.updater._once()
    assert (bench.updater.records.latest(), bench.versions.numbers()) == ("000002", [1, 2])
    assert requests_left(bench) == []
    state = bench.updater.edits.state(request.id)
    assert state.answer is not None
    assert sorted(state.answer.deleted) == doomed
    assert len(archived(bench, "one")) == 13
    assert bench.learnt(2).find(operation.hashes) == {}


@pytest.mark.usefixtures("in_process")
def test_what_got_in_between_is_edited_instead(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.ask(Rename(name="one", to="uno"), "000002")

    def rolled_back(step: Step) -> Step:
        def run(update: service.Update) -> None:
            step.run(update)
            if update.id == "000003":
                bench.versions.rollback(1)

        return replace(step, run=run) if step.name == "evaluate" else step

    monkeypatch.setattr(service, "EDIT_STEPS", tuple(map(rolled_back, edit_steps.EDIT_STEPS)))
    request = bench.updater.edits.submit(Rename(name="two", to="due"))
    assert bench.run("000003").result == "superseded"
    assert bench.updater.edits.state(request.id).state == "waiting"
    done = bench.run("000004")
    assert (done.result, done.version) == ("published", 3)
    assert bench.versions.manifest(3).classes == ("one", "due", "zero")
    assert bench.updater.edits.state(request.id).update_id == "000004"


@pytest.mark.usefixtures("in_process")
def test_what_has_become_impossible_meanwhile_is_refused_with_its_reason(bench: Bench) -> None:
    first = bench.updater.edits.submit(Rename(name="one", to="uno"))
    second = bench.updater.edits.submit(Rename(name="one", to="eins"))
    assert bench.run("000002").result == "published"
    done = bench.run("000003")
    assert (done.result, done.version) == ("rejected", None)
    assert "there is no class 'one'" in (done.reason or "")
    assert bench.updater.edits.state(first.id).update_id == "000002"
    assert bench.updater.edits.state(second.id).done == done
    assert requests_left(bench) == []


@pytest.mark.usefixtures("in_process")
def test_an_edit_that_fails_is_given_up_and_drops_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, digit_files: DigitFiles
) -> None:
    request = bench.updater.edits.submit(Remove(name="one"))
    with monkeypatch.context() as patch:
        patch.setattr(edit_steps, "EditTask", lambda **_: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                bench.run("000002")
        assert bench.run("000002").result == "failed"
    assert requests_left(bench) == []
    assert bench.updater.edits.state(request.id).state == "done"
    assert bench.versions.numbers() == [1]
    state = bench.ask(Remove(name="one"), "000003")
    assert state.done is not None
    assert state.done.result == "published"


@pytest.mark.usefixtures("in_process")
def test_a_merge_that_the_gate_refuses_is_kept_and_not_served(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = bench.settings.gate.model_copy(update={"max_old_accuracy_loss": 0.0})
    monkeypatch.setattr(bench.updater._services, "settings", bench.settings.model_copy(update={"gate": strict}))
    real = edit_steps.measure_edit

    def worse(*arguments: object) -> object:
        evaluation = real(*arguments)  # type: ignore[arg-type]  # handed through
        from handlers.updater.release.gate import judge

        gate = judge(strict, 9, evaluation.cnn.model_copy(update={"old": 0.0}), 1.0)
        return evaluation.model_copy(update={"gate": gate})

    monkeypatch.setattr(edit_steps, "measure_edit", worse)
    state = bench.ask(Merge(names=("one", "two"), into="both"), "000002")
    assert state.done is not None
    assert (state.done.result, state.done.version) == ("refused", 2)
    assert "gate.max_old_accuracy_loss" in (state.done.reason or "")
    current = bench.versions.current()
    assert current is not None
    assert current.version == 1
    assert _edited(bench, "refused") == 1


def _edited(bench: Bench, result: str) -> float | None:
    """What ``lucir_versions_total`` counts of edited versions."""
    return bench.updater.metrics.registry.get_sample_value("lucir_versions_total", {"kind": "edited", "result": result})


@pytest.mark.usefixtures("in_process")
def test_a_damaged_request_and_a_foreign_file_are_left_alone(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.store.write("requests/000001-1700000000000-0123abcd.json", b"{")
    bench.store.write("requests/notes.txt", b"mine")
    state = bench.ask(Rename(name="one", to="uno"), "000002")
    assert state.done is not None
    assert "a request is left alone" in caplog.text
    assert len(requests_left(bench)) == 2


def test_requests_wait_for_the_first_class(settings: Settings, store: DirectoryStore) -> None:
    from handlers.bucket.edit_requests import EditDesk
    from handlers.bucket.updates import UpdateRecords

    desk = EditDesk(store, UpdateRecords(store))
    with pytest.raises(EditError, match="nothing has been learnt yet"):
        desk.submit(Remove(name="x"))
    with pytest.raises(ValueError, match="no request's id"):
        desk.state("../x")
    assert desk.state("000001-1700000000000-0123abcd").state == "unknown"
    assert desk.next() is None
    assert settings.updater.token is None
