"""An updater that slept wakes after it was replaced, and begins one more update: nobody is left waiting for its end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.bucket.edit_documents import Remove
from handlers.bucket.pointer_move import move_pointer
from handlers.bucket.update_documents import Done, FolderIntent
from handlers.bucket.updates import UpdateRecords
from handlers.updater.intake.originals import move_all
from handlers.updater.leader.lease import Lease
from model_store.documents import encode
from model_store.objects import exists
from tests.handlers.conftest import DigitFiles
from tests.handlers.updater.intake.conftest import ingest
from tests.support.documents import make_done
from tests.support.learning.bench import Bench, digit_settings, drop_digits
from tests.support.quick_settings import changed
from tests.support.waiting import wait_for

GONE = FolderIntent(fingerprint="f", limit=5, marked=True)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Idle: it has looked, and nothing was there."""
    made = Bench(changed(digit_settings(tmp_path), updater={"lease_seconds": 1}))
    made.look()
    yield made
    made.close()


def ended(bench: Bench, update_id: str) -> Done:
    def look() -> Done | None:
        bench.look()
        return bench.updater.records.done(update_id)

    return wait_for(look)


def test_an_update_that_is_begun_late_comes_to_an_end(bench: Bench) -> None:
    late = UpdateRecords(bench.store).begin({"cat": GONE})
    assert ended(bench, late.id).moved == 0


def test_a_request_that_is_taken_up_twice_is_done_once(bench: Bench) -> None:
    late = UpdateRecords(bench.store)
    request = bench.updater.edits.made(Remove(name="cat"))
    bench.store.write(f"requests/{request.id}.json", encode(request))  # the answer to its removal was lost
    first = late.begin({}, request)
    late.write_done(make_done(first.id, "published", None))
    second = late.begin({}, request)
    done = ended(bench, second.id)
    assert (done.result, done.reason) == ("superseded", f"update {first.id} has done the same request")
    bench.look()
    assert bench.requests_left() == []
    assert bench.updater.records.latest() == second.id
    assert bench.updater.edits.state(request.id).update_id == first.id


@pytest.mark.slow
def test_the_last_update_is_shown_also_where_another_has_ended_it(bench: Bench) -> None:
    """For an updater that took over again, its page told of the update before for ever."""
    others = UpdateRecords(bench.store)
    for _ in range(2):
        begun = others.begin({"cat": GONE})
        others.write_done(make_done(begun.id, "rejected", None))

        def shows(update_id: str = begun.id) -> bool:
            bench.look()
            last: dict[str, object] | None = bench.updater.status.snapshot()["last_update"]
            return last is not None and last["id"] == update_id

        wait_for(shows)


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_a_class_that_waits_alone_hears_of_a_version_that_somebody_went_to(
    tmp_path: Path, digit_files: DigitFiles
) -> None:
    """The gate refused it, so that a class needed a second one; nothing else tells that it does not any more."""
    strict = {"min_new_accuracy": 1.0, "inconclusive": "refuse"}
    bench = Bench(changed(digit_settings(tmp_path / "strict"), updater={"lease_seconds": 1}, gate=strict))
    mixed = [image for pair in zip(digit_files[0][:12], digit_files[1][:12], strict=True) for image in pair]
    drop_digits(bench.root, "a", mixed[:12])
    drop_digits(bench.root, "b", mixed[12:])
    assert ended(bench, "000001").result == "refused"
    drop_digits(bench.root, "zero", digit_files[0][12:18])

    def waiting() -> str:
        bench.look()
        return " ".join(folder["reason"] for folder in bench.updater.status.snapshot()["waiting"])

    assert wait_for(lambda: "needs two classes" in waiting())
    move_pointer(bench.store, 1, force=True)
    assert ended(bench, "000002").version == 2
    bench.close()


@pytest.mark.slow
def test_who_is_active_again_looks_at_what_another_has_rejected(
    bench: Bench, digit_files: DigitFiles, tmp_path: Path
) -> None:
    """Nothing was under way when it lost its lease, so nothing told it."""
    bench.close()
    other = Lease(bench.store, 1.0, "other", "other", lowest_term=lambda: 0)
    other.tend()
    assert other.active
    for digit, name in enumerate(("zero", "one")):
        drop_digits(bench.root, name, digit_files[digit][:4])
    bench.store.write("incoming/zero/cut.png", digit_files[0][9][:60])
    plan = ingest(bench.store, bench.settings, tmp_path / "other", limit=100)
    assert [entry.key for entry in plan.of_role("rejected")] == ["incoming/zero/cut.png"]
    move_all(bench.store, plan.entries)
    late = UpdateRecords(bench.store)
    late.write_plan(plan)
    late.write_done(make_done(plan.id, "rejected", None, images={"rejected": 1}))
    other.release()

    bench.lead_again()
    (bench.root / f"rejected/{plan.id}/zero/cut.png").write_bytes(digit_files[0][9])

    def is_back() -> bool:
        bench.look()
        return exists(bench.store, "incoming/zero/cut.png")

    wait_for(is_back)
