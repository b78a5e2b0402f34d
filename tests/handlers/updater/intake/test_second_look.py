"""A file that was rejected while somebody was still writing it is taken up again when it is whole."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import IO

import pytest

from handlers.bucket.layout import REASON_SUFFIX
from handlers.bucket.update_documents import Plan
from handlers.bucket.updates import UpdateRecords
from handlers.settings import Settings
from handlers.updater.intake.originals import move_all, write_reasons
from handlers.updater.intake.second_look import LONGEST_REST, WATCHED_SECONDS, SecondLook
from handlers.updater.leader.fenced_store import FencedStore
from model_store.directory.directory_store import DirectoryStore
from model_store.manifest import now
from model_store.objects import ObjectInfo, ObjectStore
from tests.handlers.conftest import DigitFiles
from tests.handlers.updater.intake.conftest import ingest
from tests.support.clock import Clock
from tests.support.documents import make_done
from tools.simulation.bucket import Bucket, Faults, SimulatedStore
from tools.simulation.scheduler import Process, Scheduler

SETTLE = 5.0
KNOWN = frozenset({"zero", "one"})
CUT = "incoming/zero/cut.png"
REJECTED = "rejected/000001/zero/cut.png"


class Room:
    """A store after an update, and what looks at the files it rejected."""

    def __init__(self, store: ObjectStore, settings: Settings, work: Path) -> None:
        self.store, self.settings, self.work = store, settings, work
        self.records = UpdateRecords(store)
        self.clock = Clock()
        self.start()

    def start(self) -> None:
        """As a new process does."""
        self.second = SecondLook(self.store, self.records, SETTLE, self.clock)
        self.second.restore()

    def update(self) -> Plan:
        """Everything in ``incoming/`` is judged, rejected, archived."""
        plan = ingest(self.store, self.settings, self.work, limit=100)
        write_reasons(self.store, plan.id, plan.of_role("rejected"))
        move_all(self.store, plan.entries)
        self.records.write_plan(plan)
        images = {"rejected": len(plan.of_role("rejected"))}
        self.records.write_done(make_done(plan.id, version=1, images=images))
        self.second.watch(plan)
        return plan

    def look(self, seconds: float = 0.0, short: frozenset[str] = frozenset()) -> list[str]:
        self.clock.now += max(seconds, 1.0)
        return self.second.look(short, KNOWN)

    def keys(self, prefix: str) -> list[str]:
        return [info.key for info in self.store.list(prefix)]


@pytest.fixture(params=["folder", "bucket"])
def any_store(request: pytest.FixtureRequest, root: Path) -> ObjectStore:
    if request.param == "folder":
        return DirectoryStore(root)
    scheduler = Scheduler("1")
    return SimulatedStore(Bucket(scheduler), scheduler, Process("one"), Faults, lambda _: None)


def dropped(store: ObjectStore, digit_files: DigitFiles, cut: bytes | None = None) -> None:
    for digit, name in enumerate(("zero", "one")):
        for index in range(4):
            store.write(f"incoming/{name}/{index}.png", digit_files[digit][index])
    if cut is not None:
        store.write(CUT, cut)


@pytest.fixture
def whole(digit_files: DigitFiles) -> bytes:
    return digit_files[0][9]


@pytest.fixture
def writer(root: Path, store: DirectoryStore, digit_files: DigitFiles, whole: bytes) -> Iterator[IO[bytes]]:
    """Has written half a file when the update takes its folder up."""
    dropped(store, digit_files)
    with (root / CUT).open("wb", buffering=0) as file:
        file.write(whole[:60])
        yield file


@pytest.fixture
def room(writer: IO[bytes], store: DirectoryStore, settings: Settings, tmp_path: Path) -> Room:
    assert not writer.closed
    room = Room(store, settings, tmp_path / "work")
    assert [entry.target for entry in room.update().of_role("rejected")] == [REJECTED]
    return room


def test_a_file_that_grows_goes_back_when_it_rests(room: Room, writer: IO[bytes], whole: bytes) -> None:
    assert room.look(100) == []  # as it was rejected
    writer.write(whole[60:90])
    assert room.look() == []
    assert room.look(SETTLE - 1) == []
    writer.write(whole[90:])
    assert room.look(SETTLE) == []
    assert room.look(SETTLE) == [CUT]
    assert room.store.read(CUT) == whole
    assert room.keys("incoming/") == ["incoming/zero/_READY", CUT]  # of a class that is known one is enough
    assert room.keys("rejected/") == []
    assert room.look(100) == []


def test_a_file_that_grows_while_it_is_given_back_stays(
    room: Room, writer: IO[bytes], whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.write(whole[60:-5])
    room.look()
    move = room.store.move

    def late(source: str, target: str, *, expected_etag: str | None = None) -> None:
        writer.write(whole[-5:])
        monkeypatch.undo()
        move(source, target, expected_etag=expected_etag)

    monkeypatch.setattr(room.store, "move", late)
    room.look(SETTLE)
    assert REJECTED in room.keys("rejected/")
    assert CUT not in room.keys("incoming/")
    room.look()
    assert room.look(SETTLE) == [CUT]
    assert room.store.read(CUT) == whole


def test_who_marks_the_class_in_the_same_moment_stops_nobody_from_looking_again(
    room: Room, store: DirectoryStore, writer: IO[bytes], whole: bytes
) -> None:
    persons = [lambda: store.write("incoming/zero/_READY", b"")]
    room.store = FencedStore(store, lambda: persons.pop()() if persons else None)
    room.start()
    writer.write(whole[60:])
    room.look()
    assert room.look(SETTLE) == []
    assert not persons
    room.look()
    assert room.look(SETTLE) == [CUT]


def test_a_machine_that_slept_in_the_middle_of_a_look_looks_again_soon(
    room: Room, writer: IO[bytes], whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = room.store.stat

    def sleeps(key: str) -> ObjectInfo:
        monkeypatch.undo()
        room.clock.now += 3600
        return stat(key)

    monkeypatch.setattr(room.store, "stat", sleeps)
    writer.write(whole[60:])
    assert room.look() == []
    assert room.look(LONGEST_REST) == [CUT]


def test_a_new_process_watches_what_earlier_ones_rejected(room: Room, writer: IO[bytes], whole: bytes) -> None:
    writer.write(whole[60:])
    room.start()
    room.look()
    assert room.look(SETTLE) == [CUT]
    assert room.keys("rejected/") == []


@pytest.mark.parametrize("moved", [False, True])
def test_a_process_that_is_cut_short_leaves_nothing_behind(
    room: Room, writer: IO[bytes], whole: bytes, moved: bool
) -> None:
    writer.write(whole[60:])
    room.store.write("incoming/zero/_READY", b"")
    if moved:
        room.store.move(REJECTED, CUT)
    room.start()
    room.look()
    room.look(SETTLE)
    assert room.keys("incoming/") == ["incoming/zero/_READY", CUT]
    assert room.keys("rejected/") == []


def test_a_copy_of_the_store_is_no_change(room: Room, root: Path, whole: bytes) -> None:
    copy = root / f"{REJECTED}.copy"
    copy.write_bytes(whole[:60])
    copy.rename(root / REJECTED)
    room.look()
    assert room.look(SETTLE) == []


def test_what_does_not_change_stays_and_is_forgotten_after_a_day(room: Room, writer: IO[bytes], whole: bytes) -> None:
    assert room.look(WATCHED_SECONDS + 1) == []
    writer.write(whole[60:])
    room.look()
    assert room.look(SETTLE) == []
    assert room.keys("rejected/") == [REJECTED, REJECTED + REASON_SUFFIX]


def test_a_file_that_was_rejected_long_ago_is_not_watched_after_a_start(
    room: Room, monkeypatch: pytest.MonkeyPatch, writer: IO[bytes], whole: bytes
) -> None:
    writer.write(whole[60:])
    later = now() + timedelta(days=2)
    monkeypatch.setattr("handlers.updater.intake.second_look.now", lambda: later)
    room.start()
    room.look()
    assert room.look(SETTLE) == []


def test_both_files_of_a_new_class_go_back_and_one_alone_waits(
    store: DirectoryStore, root: Path, settings: Settings, digit_files: DigitFiles, tmp_path: Path
) -> None:
    dropped(store, digit_files)
    paths = [root / f"incoming/two/{name}.png" for name in "ab"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(digit_files[2][0][:60])
    (root / "incoming/two/_READY").touch()
    room = Room(store, settings, tmp_path / "work")
    room.update()
    (root / "rejected/000001/two/a.png").write_bytes(digit_files[2][1])
    room.look()
    assert room.look(SETTLE) == ["incoming/two/a.png"]
    assert room.keys("incoming/two/") == ["incoming/two/a.png"]  # of a new class two are needed
    (root / "rejected/000001/two/b.png").write_bytes(digit_files[2][2])
    room.look()
    assert room.look(SETTLE) == ["incoming/two/b.png"]
    assert room.keys("incoming/two/") == [f"incoming/two/{name}" for name in ("_READY", "a.png", "b.png")]


@pytest.fixture
def sent(any_store: ObjectStore, settings: Settings, digit_files: DigitFiles, whole: bytes, tmp_path: Path) -> Room:
    """Half of a file has been rejected, in a folder or in a bucket."""
    dropped(any_store, digit_files, cut=whole[:60])
    room = Room(any_store, settings, tmp_path / "work")
    room.update()
    return room


SHORT = frozenset({"zero"})


def test_a_file_that_is_sent_again_does_not_wait_for_others(sent: Room, digit_files: DigitFiles, whole: bytes) -> None:
    """In a bucket an object appears whole or as the client sent it; another one may follow under its key."""
    sent.store.write(CUT, whole)
    sent.store.write("incoming/zero/late.png", digit_files[0][10])
    assert sent.look(short=SHORT) == []
    assert sent.look(SETTLE - 1, SHORT) == []
    assert sent.look(2, SHORT) == [CUT]
    assert "incoming/zero/_READY" in sent.keys("incoming/")
    assert sent.store.read(REJECTED) == whole[:60]  # what was uploaded stays where it is
    assert sent.update().of_role("rejected") == ()
    assert sent.look(100, SHORT) == []


def test_other_files_of_the_folder_wait_as_ever(sent: Room, whole: bytes) -> None:
    sent.store.write("incoming/zero/other.png", whole)
    sent.look(short=SHORT)
    assert sent.look(100, SHORT) == []
    assert sent.keys("incoming/") == ["incoming/zero/other.png"]
