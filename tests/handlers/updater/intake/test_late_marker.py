"""``_READY`` that comes when its images have been taken up already stays alone, and does not speak for later ones."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from handlers.bucket.update_documents import FailedFolder
from handlers.bucket.updates import UpdateRecords
from handlers.settings import Settings, UpdaterSettings
from handlers.updater.intake.listing import MARKER_SECONDS, Folder, scan
from handlers.updater.intake.originals import move_all
from handlers.updater.intake.readiness import FolderState, Readiness
from handlers.updater.intake.second_look import SecondLook
from tests.handlers.conftest import DigitFiles
from tests.handlers.updater.intake.conftest import ingest
from tests.support.clock import Clock
from tools.simulation.bucket import Bucket, Faults, SimulatedStore
from tools.simulation.scheduler import Process, Scheduler

MARKER = "incoming/zero/_READY"
KNOWN = frozenset({"zero", "one"})


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler("1")


@pytest.fixture
def bucket(scheduler: Scheduler) -> SimulatedStore:
    """A store whose clock a test may move."""
    return SimulatedStore(Bucket(scheduler), scheduler, Process("one"), Faults, lambda *_: None)


def judged(
    store: SimulatedStore,
    scheduler: Scheduler,
    known: frozenset[str] = KNOWN,
    failed: Mapping[str, FailedFolder] = MappingProxyType({}),
) -> FolderState:
    readiness = Readiness(UpdaterSettings())
    states = readiness.judge(scan(store), known, failed, frozenset(), wall=scheduler.now, monotonic=0.0)
    return next(state for state in states if state.folder.name == "zero")


@pytest.mark.parametrize(("later", "state"), [(MARKER_SECONDS, "ready"), (MARKER_SECONDS + 1, "waiting")])
def test_a_marker_may_come_shortly_before_its_images(
    bucket: SimulatedStore, scheduler: Scheduler, digit_files: DigitFiles, later: float, state: str
) -> None:
    bucket.write(MARKER, b"")
    assert judged(bucket, scheduler).reason == "has its marker but no image: put images into it, or delete _READY"
    scheduler.now += later
    bucket.write("incoming/zero/0.png", digit_files[0][0])
    found = judged(bucket, scheduler)
    assert found.state == state
    assert ("write the file _READY in it again" in found.reason) == (state == "waiting")
    bucket.write(MARKER, b"")
    assert judged(bucket, scheduler).state == "ready"


def test_a_marker_speaks_for_all_that_waited_for_it(
    bucket: SimulatedStore, scheduler: Scheduler, digit_files: DigitFiles
) -> None:
    bucket.write("incoming/zero/0.png", digit_files[0][0])
    scheduler.now += 10 * MARKER_SECONDS
    bucket.write(MARKER, b"")
    scheduler.now += 10 * MARKER_SECONDS
    bucket.write("incoming/zero/1.png", digit_files[0][1])
    assert judged(bucket, scheduler).state == "ready"


def test_what_is_left_alone_is_no_image_of_a_marker() -> None:
    folder = Folder("zero")
    for path in (".DS_Store", "_READY"):
        folder.add(Bucket(Scheduler("1")).put(f"incoming/zero/{path}", b""), path)
    assert folder.marker is not None
    assert not folder.marked


@pytest.mark.parametrize(("later", "taken"), [(0.0, 1), (MARKER_SECONDS + 1, 0)])
def test_a_plan_does_not_take_few_images_for_complete_by_an_old_marker(
    bucket: SimulatedStore,
    scheduler: Scheduler,
    settings: Settings,
    digit_files: DigitFiles,
    tmp_path: Path,
    later: float,
    taken: int,
) -> None:
    """What is not enough waits, and the marker with it: the next update looks at both again."""
    few = settings.model_copy(update={"updater": settings.updater.model_copy(update={"min_images": 3})})
    bucket.write(MARKER, b"")
    scheduler.now += later
    for name, digit, count in (("zero", 0, 2), ("one", 1, 3), ("two", 2, 3)):
        for index in range(count):
            bucket.write(f"incoming/{name}/{index}.png", digit_files[digit][index])
    plan = ingest(bucket, few, tmp_path / "work")
    assert [("zero" in plan.classes), len(plan.of_role("marker"))] == [bool(taken), taken]
    move_all(bucket, plan.entries)
    left = [info.key for info in bucket.list("incoming/")]
    assert left == ([] if taken else ["incoming/zero/0.png", "incoming/zero/1.png", MARKER])


@pytest.mark.parametrize("later", [0.0, MARKER_SECONDS + 1])
def test_a_file_that_is_sent_again_gets_a_marker_that_speaks_for_it(
    bucket: SimulatedStore,
    scheduler: Scheduler,
    settings: Settings,
    digit_files: DigitFiles,
    tmp_path: Path,
    later: float,
) -> None:
    for name, digit in (("zero", 0), ("one", 1)):
        for index in range(4):
            bucket.write(f"incoming/{name}/{index}.png", digit_files[digit][index])
    bucket.write("incoming/zero/cut.png", digit_files[0][9][:60])
    plan = ingest(bucket, settings, tmp_path / "work")
    move_all(bucket, plan.entries)
    bucket.write(MARKER, b"")
    marked = scheduler.now
    scheduler.now += later
    bucket.write("incoming/zero/cut.png", digit_files[0][9])
    clock = Clock()
    second = SecondLook(bucket, UpdateRecords(bucket), 1.0, clock)
    second.watch(plan)
    taken = []
    for _ in range(3):
        clock.now += 2.0
        taken += second.look({"zero"}, KNOWN)
    assert taken == (["incoming/zero/cut.png"] if later else [])
    assert (bucket.stat(MARKER).modified > marked) == bool(later)
    assert judged(bucket, scheduler).state == "ready"


def test_a_marker_written_again_lets_a_folder_that_was_set_aside_be_tried(
    bucket: SimulatedStore, scheduler: Scheduler, digit_files: DigitFiles
) -> None:
    """Its content and so its tag in a bucket are as before: its time is not."""
    bucket.write("incoming/zero/0.png", digit_files[0][0])
    bucket.write(MARKER, b"")
    failed = {"zero": FailedFolder(fingerprint=scan(bucket)["zero"].fingerprint, update_id="000001", reason="NaN")}
    assert judged(bucket, scheduler, failed=failed).state == "failed"
    scheduler.now += 1
    bucket.write(MARKER, b"")
    assert judged(bucket, scheduler, failed=failed).state == "ready"
