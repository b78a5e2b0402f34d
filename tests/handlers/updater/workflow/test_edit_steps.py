"""Rename, merge, remove, delete on a version that was really learnt; killed between any two steps."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from handlers.bucket.edit_documents import DeleteImages, Merge, Remove, Rename
from handlers.bucket.edit_requests import EditDesk
from handlers.bucket.edit_rules import EditError
from handlers.bucket.seen_images import Learnt
from handlers.bucket.updates import UpdateRecords
from handlers.settings import Settings
from handlers.torchserve.canary import Canary
from handlers.updater.intake.reader import Reader
from handlers.updater.release import evaluation_set
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.directory.directory_store import DirectoryStore
from model_store.manifest import Gate, Manifest
from model_store.objects import StoreUnavailableError
from model_store.versions import VersionStore
from tests.handlers.conftest import DigitFiles
from tests.support.learning.bench import Bench, drop_digits
from tests.support.present import present
from tests.support.stores.inspected import sha

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_process")]


def test_rename_merge_and_remove_make_versions(bench: Bench, digit_files: DigitFiles) -> None:
    before = bench.versions.evaluation(1)
    (bench.root / "evaluation" / "one").mkdir(parents=True)
    state = bench.ask(Rename(name="one", to="eins"), "000002")
    assert (state.state, state.done and state.done.result) == ("done", "published")
    renamed = bench.versions.manifest(2)
    assert (renamed.kind, renamed.parent, renamed.classes) == ("edited", 1, ("eins", "two", "zero"))
    assert bench.counted("passed") == 1
    assert renamed.counts.train == {"eins": 12, "two": 12, "zero": 12}
    assert renamed.files["model.onnx"] == bench.versions.manifest(1).files["model.onnx"]
    canary = Canary.model_validate_json((bench.root / "versions/2/canary.json").read_bytes())
    assert {one.answer for one in canary.pictures} <= set(renamed.classes)
    evaluation = bench.versions.evaluation(2)
    assert evaluation.confusion == before.confusion
    assert evaluation.history == before.history
    assert evaluation.class_best == {"eins" if k == "one" else k: v for k, v in before.class_best.items()}
    assert bench.blobs(2, "holdout").classes == bench.learnt(2).classes == renamed.classes
    assert any("evaluation/one/" in note for note in present(state.answer).notes)
    assert (bench.served().version, bench.served().reason) == (2, "rename 'one' to 'eins'")
    assert bench.requests_left() == []

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
    drop_digits(bench.root, "eins", (digit_files[1][index] for index in (0, *range(20, 26))))
    assert bench.run("000004").result == "published"
    plan = present(bench.updater.records.plan("000004"))
    assert (plan.updated_classes, plan.parent) == (("eins",), 3)
    assert [entry.reason for entry in plan.of_role("rejected")] == ["exactly this image was learnt before, as 'eins'"]


def test_a_removed_class_is_gone_and_its_files_are_named(bench: Bench, digit_files: DigitFiles) -> None:
    files = bench.archived("two")
    answer = present(bench.ask(Remove(name="two"), "000002").answer)
    assert bench.versions.manifest(2).classes == ("one", "zero")
    for name in ("exemplars", "holdout"):
        assert bench.blobs(2, name).classes == ("one", "zero")
    assert sorted({*bench.blobs(2, "exemplars").labels.tolist()}) == [0, 1]
    twos = [sha(data) for data in digit_files[2][:15]]
    assert (len(bench.learnt(1).find(twos)), bench.learnt(2).find(twos)) == (15, {})
    assert list(answer.files) == files
    assert (answer.deleted, answer.versions) == ((), (1,))
    assert (answer.exemplars_removed, answer.held_out_removed) == (4, 3)
    assert bench.archived("two") == files

    (bench.root / bench.archived("zero")[0]).write_bytes(b"somebody else's")
    bench.ask(Rename(name="zero", to="null"), "000003")
    drop_digits(bench.root, "two", digit_files[2][:6])  # learnt before, and forgotten
    assert bench.run("000004").result == "published"
    assert bench.versions.manifest(4).classes == ("one", "null", "two")
    foreign, *ours = bench.archived("zero")
    answer = present(bench.ask(Remove(name="null", delete_originals=True), "000005").answer)
    assert (list(answer.left), answer.files) == ([foreign], ())
    assert bench.archived("zero") == [foreign]
    # The duplicate that had been rejected is the same image: it goes too, with its reason.
    assert sorted(answer.deleted) == sorted([*ours, "rejected/000001/zero/again.png"])
    assert list(bench.store.list("rejected/")) == []


def test_a_receipt_says_which_versions_could_not_be_searched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged one stays so; where the store does not answer, it is asked again."""
    bench.ask(Rename(name="zero", to="null"), "000002")
    (bench.root / "versions/1/exemplars.safetensors").write_bytes(b"damaged")
    fetch, lost = VersionStore.fetch, ["the answer was lost"]

    def fetches(self: VersionStore, number: int, folder: Path, names: Iterable[str]) -> Manifest:
        names = list(names)
        if "exemplars.safetensors" in names and number == 2 and folder.name.startswith("lucir-") and lost:
            raise StoreUnavailableError(lost.pop())
        return fetch(self, number, folder, names)

    monkeypatch.setattr(VersionStore, "fetch", fetches)
    request = bench.updater.edits.submit(Remove(name="two"))
    with pytest.raises(StoreUnavailableError):
        bench.run("000003")
    bench.run("000003")
    answer = present(bench.updater.edits.state(request.id).answer)
    assert not lost
    assert answer.versions == (2,)
    assert [note.partition(" for them: ")[0] for note in answer.notes][-1] == "version 1 cannot be searched"


@pytest.mark.parametrize("known", [True, False])
def test_a_deleted_image_is_nowhere_but_in_older_versions(
    bench: Bench, digit_files: DigitFiles, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    if not known:  # as in versions made before the digests were written down: the stored original tells
        monkeypatch.setattr(Learnt, "digests_of", lambda self, hashes: set())
    exemplars, held = bench.blobs(1, "exemplars"), bench.blobs(1, "holdout")
    chosen = [_original_of(bench, blobs, 2) for blobs in (exemplars, held)]
    request = DeleteImages(hashes=tuple(sha(bench.store.read(key)) for key in chosen))
    answer = present(bench.ask(request, "000002").answer)
    assert sorted(answer.deleted) == sorted(chosen)
    assert (answer.exemplars_removed, answer.held_out_removed, answer.versions) == (1, 1, (1,))
    assert not {info.key for info in bench.store.list("archive/")} & set(chosen)
    for name, blobs in (("exemplars", exemplars), ("holdout", held)):
        after = bench.blobs(2, name)
        assert after.counts().tolist() == [blobs.counts()[0], blobs.counts()[1], blobs.counts()[2] - 1]
        assert set(after.pngs) < set(blobs.pngs)
    counts = bench.versions.manifest(2).counts
    assert (counts.train["zero"], counts.holdout["zero"], counts.exemplars["zero"]) == (11, 2, 3)
    assert len(bench.learnt(2).hashes) == len(bench.learnt(1).hashes) - 2
    # Again: nothing knows it any more.
    again = present(bench.ask(DeleteImages(hashes=(sha(digit_files[9][0]),)), "000003").done)
    assert (again.result, again.version) == ("rejected", None)
    assert "none of these images" in (again.reason or "")
    assert bench.versions.numbers() == [1, 2]


def _original_of(bench: Bench, blobs: ImageBlobs, label: int) -> str:
    """The archived file that a stored image was made of: the one whose pixels are the same."""
    reader = Reader(bench.store, bench.settings.images, bench.versions.manifest(1).preprocessing.resize, bench.root)
    wanted = blobs.decode(int(blobs.indices_of(label)[0]))
    for key in bench.archived(blobs.classes[label]):
        if (reader.decoded(bench.store.read(key)) == wanted).all():
            return key
    raise AssertionError("no original")


def test_a_merge_that_the_gate_refuses_is_kept_and_not_served(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Gate(passed=False, reasons=("worse than before",))
    monkeypatch.setattr(evaluation_set, "judge", lambda *_: refused)
    done = present(bench.ask(Merge(names=("one", "two"), into="both"), "000002").done)
    assert (done.result, done.version) == ("refused", 2)
    assert "worse than before" in (done.reason or "")
    assert bench.served().version == 1
    assert bench.counted("refused") == 1


def test_requests_wait_for_the_first_class(settings: Settings, store: DirectoryStore) -> None:
    desk = EditDesk(store, UpdateRecords(store))
    with pytest.raises(EditError, match="nothing has been learnt yet"):
        desk.submit(Remove(name="x"))
    with pytest.raises(ValueError, match="not a request's id"):
        desk.state("../x")
    assert desk.state("000001-1700000000000-0123abcd").state == "unknown"
    assert desk.next() is None
    assert settings.updater.token is None
