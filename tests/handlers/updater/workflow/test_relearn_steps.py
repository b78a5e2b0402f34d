"""What the archive keeps is learnt: of a refused class, a corrected image, or everything with another preset."""

import numpy as np
import pytest

from handlers.bucket.corrections import put_correction
from handlers.bucket.edit_documents import DeleteImages, Relearn, Rename
from handlers.bucket.update_documents import Plan
from handlers.updater.errors import BlockedError
from handlers.updater.intake.listing import scan
from handlers.updater.intake.selection import select
from lucir_core.memory.feature_memory import FeatureMemory
from lucir_core.memory.image_blobs import image_digest
from tests.handlers.conftest import DigitFiles
from tests.support.learning.bench import Bench, drop_digits, killed_at_every_step
from tests.support.present import present
from tests.support.stores.inspected import sha

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_process")]

FROZEN = {"network": "resnet8", "method": "analytic", "head": "analytic", "frozen": True, "size": 32, "resize": 32}
"""Another way than the one of the store: a head on a frozen backbone, for images of another size."""
EVERYTHING = Relearn(preset="digits", overrides=FROZEN)


def plan_of(bench: Bench, update: str) -> Plan:
    return present(bench.updater.records.plan(update))


def archive(bench: Bench) -> dict[str, bytes]:
    return {info.key: bench.store.read(info.key, limit=info.size) for info in bench.store.list("archive/")}


def strict(bench: Bench, *, refuses: bool) -> None:
    """From now on the gate refuses every version with a mistake in a new class, or none."""
    if refuses:
        bench.change(gate={"min_new_accuracy": 1.0, "inconclusive": "refuse"})
    else:
        bench.change(gate={"min_new_accuracy": 0.0, "inconclusive": "serve"})


def test_everything_is_learnt_again_as_it_is_by_now(bench: Bench, digit_files: DigitFiles) -> None:
    bench.ask(Rename(name="one", to="eins"), "000002")
    bench.ask(DeleteImages(hashes=(sha(digit_files[0][2]),)), "000003")
    (bench.root / bench.archived("two")[0]).unlink()
    kept = archive(bench)
    drop_digits(bench.root, "three", digit_files[3][:15])  # waits its turn

    state = bench.ask(EVERYTHING, "000004")
    assert (state.done and state.done.result, bench.served().version) == ("published", 4)
    manifest = bench.versions.manifest(4)
    assert (manifest.method, manifest.parent, manifest.preprocessing.size) == ("analytic", 3, 32)
    assert manifest.classes == ("eins", "two", "zero")
    assert manifest.counts.train == {"eins": 15, "two": 14, "zero": 14}
    assert bench.learnt(4).counts() == {"eins": 15, "two": 14, "zero": 14}
    assert sha(digit_files[0][2]) not in bench.learnt(4).find([sha(digit_files[0][2])])
    assert bench.versions.evaluation(4).parent_old == bench.versions.evaluation(3).cnn.all
    assert archive(bench) == kept, "the originals stay where they are"
    assert "1 learnt image of 'two' can no longer be found in archive/" in present(state.answer).notes[0]
    assert bench.requests_left() == []

    # The settings still name the old way: what a person chose since counts.
    assert bench.run("000005").result == "published"
    assert bench.versions.manifest(5).method == "analytic"
    assert bench.versions.manifest(5).classes == ("eins", "two", "zero", "three")

    correct(bench, digit_files[0][4], "000006")
    bench.versions.rollback(3)  # to the way before, with which it goes on
    bench.restart()
    drop_digits(bench.root, "four", digit_files[4][:6])
    assert bench.run("000007").result == "published"
    manifest = bench.versions.manifest(7)
    assert (manifest.method, manifest.classes) == ("lucir", ("eins", "two", "zero", "four"))

    memory = FeatureMemory.load(bench.root / "versions/6/features.safetensors")
    assert np.bincount(memory.labels).tolist() == [15, 15, 13, 15], "nothing of the image is left in its old class"


def test_a_class_without_originals_keeps_everything_as_it_is(bench: Bench) -> None:
    for key in bench.archived("two"):
        (bench.root / key).unlink()
    done = present(bench.ask(EVERYTHING, "000002").done)
    assert (done.result, bench.served().version) == ("rejected", 1)
    assert "too few images of 'two'" in (done.reason or "")


def test_settings_that_do_not_fit_hold_up_no_request(bench: Bench) -> None:
    bench.change(learning={"overrides": FROZEN})
    bench.look()
    assert "lucir relearn --preset digits" in bench.updater.status.snapshot()["errors"][0]["message"]
    done = present(bench.ask(Relearn(classes=("one",)), "000002").done)
    assert (done.result, "lucir relearn --preset digits" in (done.reason or "")) == ("rejected", True)
    done = present(bench.ask(EVERYTHING, "000003").done)
    assert (done.result, bench.versions.manifest(2).method) == ("published", "analytic")


def test_a_drop_that_was_cut_short_before_its_plan_holds_up_no_request(bench: Bench, digit_files: DigitFiles) -> None:
    drop_digits(bench.root, "three", digit_files[3][:4])
    bench.updater.records.begin(select(list(scan(bench.store).values()), 1000, first=False))
    bench.change(learning={"overrides": FROZEN})
    with pytest.raises(BlockedError, match="lucir relearn --preset digits"):
        bench.look()
    bench.updater.edits.submit(EVERYTHING)
    assert bench.run("000002").result == "superseded"
    assert bench.run("000003").result == "published"
    assert bench.run("000004").result == "published", "the drop is learnt, in the new way"
    assert bench.versions.manifest(3).classes == ("one", "two", "zero", "three")


def test_after_learning_again_on_a_frozen_backbone_three_images_are_enough(
    bench: Bench, digit_files: DigitFiles
) -> None:
    bench.change(updater={"min_images": None})
    drop_digits(bench.root, "three", digit_files[3][:3])
    bench.look()
    (waiting,) = bench.updater.status.snapshot()["waiting"]
    assert waiting["reason"].startswith("3 of at least 10 images")
    bench.ask(EVERYTHING, "000002")
    assert bench.run("000003").result == "published"
    assert bench.versions.manifest(3).counts.train["three"] == 3


def test_killed_at_every_step_it_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = archive(bench)
    request = bench.updater.edits.submit(EVERYTHING)
    killed_at_every_step(bench, monkeypatch, "RELEARN_STEPS", "000002")
    assert bench.updater.edits.state(request.id).state == "done"
    assert (bench.versions.numbers(), bench.served().version, bench.requests_left()) == ([1, 2], 2, [])
    assert bench.versions.manifest(2).counts.train == {"one": 15, "two": 15, "zero": 15}
    assert archive(bench) == kept


def test_a_refused_class_says_what_helps_and_is_learnt_by_one_command(bench: Bench, digit_files: DigitFiles) -> None:
    strict(bench, refuses=True)
    drop_digits(bench.root, "three", digit_files[3][:15])
    done = bench.run("000002")
    assert (done.result, bench.served().version) == ("refused", 1)
    assert "drop about 12 more of 'three'" in (done.reason or "")
    assert "lucir relearn three" in (done.reason or "")
    kept = archive(bench)

    strict(bench, refuses=False)
    done = present(bench.ask(Relearn(classes=("three",)), "000003").done)
    assert (done.result, bench.served().version) == ("published", 3)
    assert bench.learnt(3).counts()["three"] == 15
    assert archive(bench) == kept

    done = present(bench.ask(Relearn(classes=("three",)), "000004").done)
    assert "no image of 'three' that is not learnt already" in (done.reason or "")


def test_what_was_refused_joins_the_next_drop_of_its_class(bench: Bench, digit_files: DigitFiles) -> None:
    strict(bench, refuses=True)
    drop_digits(bench.root, "three", digit_files[3][:15])
    assert bench.run("000002").result == "refused"
    strict(bench, refuses=False)
    drop_digits(bench.root, "three", digit_files[3][20:25])
    # ... but what is dropped again as another class is of that one
    drop_digits(bench.root, "two", [digit_files[3][0], *digit_files[2][20:25]])
    assert bench.run("000003").result == "published"
    assert bench.learnt(3).counts() == {"one": 15, "three": 19, "two": 21, "zero": 15}
    assert bench.learnt(3).find([sha(digit_files[3][0])]) == {sha(digit_files[3][0]): "two"}
    assert bench.updater.records.refused() == {}
    joined = [entry for entry in plan_of(bench, "000003").entries if entry.key == entry.target]
    assert len(joined) == 14
    assert not list(bench.store.list("incoming/"))


def correct(bench: Bench, image: bytes, update: str) -> None:
    """An image that was learnt as "zero" is a "two"."""
    before = bench.learnt(bench.served().version).counts()
    put_correction(bench.store, "two", image, ".png")
    done = bench.run(update)
    assert (done.result, done.images.get("rejected")) == ("published", None)
    version = bench.served().version
    assert bench.learnt(version).find([sha(image)]) == {sha(image): "two"}
    assert bench.learnt(version).counts() == {**before, "two": before["two"] + 1, "zero": before["zero"] - 1}
    counts = bench.versions.manifest(version).counts
    assert {name: counts.train[name] + counts.holdout[name] for name in before} == bench.learnt(version).counts()
    places = [key for key, data in archive(bench).items() if data == image]
    assert [key.split("/")[2] for key in places] == ["two"], "in one place only"


def test_a_learnt_image_is_corrected(bench: Bench, digit_files: DigitFiles) -> None:
    held = {image_digest(bench.blobs(1, "holdout").decode(index)) for index in range(9)}
    rows = bench.learnt(1)
    zeros = {data: next(iter(rows.digests_of([sha(data)]))) for data in digit_files[0][:15]}
    correct(bench, next(data for data, digest in zeros.items() if digest not in held), "000002")
    correct(bench, next(data for data, digest in zeros.items() if digest in held), "000003")
    left = {image_digest(bench.blobs(3, "holdout").decode(index)) for index in range(len(bench.blobs(3, "holdout")))}
    assert len(left) < len(held) + 1


def test_a_learnt_image_that_is_only_dropped_elsewhere_is_rejected(bench: Bench, digit_files: DigitFiles) -> None:
    drop_digits(bench.root, "two", [digit_files[0][4], *digit_files[2][20:25]])
    assert bench.run("000002").result == "published"
    (rejected,) = plan_of(bench, "000002").of_role("rejected")
    assert rejected.reason == "exactly this image was learnt before, as 'zero' (to change that: lucir correct)"
