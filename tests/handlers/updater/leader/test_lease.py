"""One active updater per store: who gets the lease, who loses it, and what the loser may still write."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handlers.bucket.update_documents import LeaseRecord
from handlers.updater.errors import LeaseLostError
from handlers.updater.leader.data_folder import DataFolderInUseError, Holder
from handlers.updater.leader.fenced_store import FencedStore
from handlers.updater.leader.lease import KEY, SAFE_SHARE, Lease
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectStore
from tests.support.clock import Clock

SECONDS = 15.0
Pair = tuple[Lease, Lease]


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def make(store: DirectoryStore, clock: Clock) -> Callable[..., Lease]:
    def lease(name: str, holder: str = "", objects: ObjectStore = store) -> Lease:
        return Lease(objects, SECONDS, holder or str(uuid.uuid4()), name, watch_clock=clock, hold_clock=clock)

    return lease


@pytest.fixture
def pair(make: Callable[..., Lease]) -> Pair:
    """The first is active, the second stands by."""
    first, second = make("first"), make("second")
    first.tend()
    second.tend()
    return first, second


def record(store: DirectoryStore) -> LeaseRecord:
    return LeaseRecord.model_validate_json(store.read(KEY))


def test_who_does_not_learn_never_takes_it(store: DirectoryStore, make: Callable[..., Lease], clock: Clock) -> None:
    page = Lease(store, SECONDS, "page", "page", candidate=False, watch_clock=clock, hold_clock=clock)
    page.tend()
    assert (page.state.state, page.state.holder) == ("standby", None)
    job = make("job")
    job.tend()
    page.tend()
    assert (page.state.state, page.state.holder) == ("standby", "job")
    clock.now += 10 * SECONDS  # the job is silent for good
    page.tend()
    assert not page.active
    with pytest.raises(LeaseLostError, match="job is active"):
        page.hold()


def test_the_first_is_active_and_the_second_stands_by(pair: Pair, clock: Clock) -> None:
    first, second = pair
    assert (first.state.state, first.state.term) == ("active", 1)
    assert (second.state.state, second.state.holder) == ("standby", "first")
    for _ in range(100):  # as long as the holder renews, nobody takes over
        clock.now += 1
        first.tend()
        second.tend()
    assert first.active
    assert not second.active
    assert not second.wait_active(0)
    with pytest.raises(LeaseLostError, match="first"):
        second.hold()


def test_a_silent_holder_is_followed_after_the_time_that_was_watched(
    make: Callable[..., Lease], store: DirectoryStore, clock: Clock
) -> None:
    first, second = make("first"), make("second")
    first.tend()
    clock.now += 3600  # the standby was not there to watch: this hour counts for nothing
    second.tend()
    clock.now += SECONDS - 1
    second.tend()
    assert not second.active
    clock.now += 1
    second.tend()
    assert (second.state.state, second.state.term) == ("active", 2)
    assert record(store).name == "second"
    # The one that was silent learns it from the store, and may not write any more.
    with pytest.raises(LeaseLostError, match="second"):
        first.hold()
    assert first.state.state == "standby"
    first.tend()
    assert second.active
    second.confirm()


def test_a_holder_stops_writing_before_anybody_may_take_over(pair: Pair, store: DirectoryStore, clock: Clock) -> None:
    first, second = pair
    fenced = FencedStore(store, first.hold)
    fenced.write("updates/1", b"1")
    clock.now += SECONDS * SAFE_SHARE - 1
    fenced.write("updates/2", b"2")
    clock.now = clock.now + 2  # its own time is over: the store is asked, which gives new time
    fenced.write("updates/3", b"3")
    second.tend()
    clock.now += SECONDS
    second.tend()
    assert second.active
    for change in (
        lambda: fenced.write("updates/4", b""),
        lambda: fenced.write("updates/4", b"", only_if_absent=True),
        lambda: fenced.replace("updates/1", b"", expected_etag="x"),
        lambda: fenced.upload("updates/4", Path("/dev/null")),
        lambda: fenced.move("updates/1", "updates/4"),
        lambda: fenced.delete("updates/1"),
    ):
        with pytest.raises(LeaseLostError):
            change()
    keys = [info.key for info in fenced.list("updates/")]
    assert keys == ["updates/1", "updates/2", "updates/3", KEY]


class Overtaken:
    """A store in which something happens right before the first ``method`` that an updater calls."""

    def __init__(self, store: DirectoryStore, method: str, act: Callable[[], object]) -> None:
        self._store, self._method, self._act = store, method, act
        self.conditional_writes = True
        self.url = store.url

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            self._method = ""
            self._act()
        return getattr(self._store, name)


def test_of_two_that_start_together_one_is_active(make: Callable[..., Lease], store: DirectoryStore) -> None:
    quick = make("quick")
    slow = make("slow", objects=Overtaken(store, "write", quick.tend))
    slow.tend()
    assert (quick.active, slow.active) == (True, False)
    assert record(store).name == "quick"


def test_of_two_that_follow_a_silent_one_one_is_active(
    make: Callable[..., Lease], store: DirectoryStore, clock: Clock
) -> None:
    make("silent").tend()
    quick = make("quick")
    slow = make("slow", objects=Overtaken(store, "replace", quick.tend))
    for standby in (quick, slow):
        standby.tend()
    clock.now += SECONDS
    slow.tend()
    assert (quick.active, slow.active) == (True, False)
    assert record(store).name == "quick"


def test_a_late_clean_stop_takes_nothing_from_a_successor(pair: Pair, store: DirectoryStore, clock: Clock) -> None:
    first, second = pair
    clock.now += SECONDS
    second.tend()
    first.release()
    assert (record(store).name, record(store).released) == ("second", False)


def test_a_clean_stop_hands_over_at_once(pair: Pair, clock: Clock) -> None:
    first, second = pair
    first.release()
    assert not first.active
    with pytest.raises(LeaseLostError):
        first.confirm()
    second.tend()
    assert (second.state.state, second.state.term) == ("active", 2)


def test_a_restarted_updater_does_not_wait_for_itself(make: Callable[..., Lease]) -> None:
    name = str(uuid.uuid4())
    killed, again = make("before", name), make("after", name)
    killed.tend()
    again.tend()
    assert (again.state.state, again.state.term) == ("active", 2)
    # Were the other one alive after all (a copied data folder), the two do not take it from each other for ever.
    killed.tend()
    with pytest.raises(LeaseLostError):
        killed.confirm()
    killed.tend()
    assert killed.state.state == "standby"
    again.confirm()


@pytest.mark.parametrize("damage", [b"{", b'{"holder": 1}'])
def test_a_lease_that_somebody_edited_is_written_again(
    pair: Pair, store: DirectoryStore, clock: Clock, damage: bytes
) -> None:
    first, second = pair
    store.write(KEY, damage)
    second.tend()
    assert not second.active  # its holder may be writing still
    with pytest.raises(LeaseLostError):
        first.confirm()
    clock.now += SECONDS
    second.tend()
    assert second.active
    assert record(store).term == 2


def test_a_removed_lease_goes_to_one(pair: Pair, store: DirectoryStore, clock: Clock) -> None:
    first, second = pair
    store.delete(KEY)
    second.tend()
    assert not second.active
    with pytest.raises(LeaseLostError):
        first.confirm()
    first.tend()
    second.tend()
    assert [first.active, second.active] == [True, False]
    assert record(store).name == "first"


class Forgetful(DirectoryStore):
    """A store whose answers get lost while ``lost``: what was written is there, but nobody was told."""

    lost = False

    def replace(self, key: str, data: bytes, *, expected_etag: str):  # type: ignore[no-untyped-def]  # as its base
        info = super().replace(key, data, expected_etag=expected_etag)
        if self.lost:
            raise OSError("the answer was lost")
        return info


def test_a_lost_answer_is_not_taken_for_another_holder(root: Path, make: Callable[..., Lease], clock: Clock) -> None:
    objects = Forgetful(root)
    lease = make("first", objects=objects)
    lease.tend()
    objects.lost = True
    with pytest.raises(OSError, match="lost"):
        lease.confirm()
    objects.lost = False
    lease.confirm()
    clock.now += SECONDS
    lease.confirm()
    assert (lease.state.state, lease.state.term) == ("active", 1)


class Unconditional(DirectoryStore):
    """A store that cannot tell who was first."""

    @property
    def conditional_writes(self) -> bool:
        return False


def test_a_store_without_conditional_writes_is_a_single_writers(root: Path, make: Callable[..., Lease]) -> None:
    objects = Unconditional(root)
    lease = make("only", objects=objects)
    lease.tend()
    assert lease.state.state == "single writer"
    assert lease.active
    FencedStore(objects, lease.hold).write("updates/1", b"")
    lease.release()
    assert list(objects.list(KEY)) == []


def test_a_data_folder_has_one_updater_and_keeps_its_name(tmp_path: Path) -> None:
    holder = Holder(tmp_path)
    with pytest.raises(DataFolderInUseError, match="LUCIR_DATA"):
        Holder(tmp_path, patience=0)
    holder.close()
    again = Holder(tmp_path)
    assert again.name == holder.name
    again.close()
    (tmp_path / "holder").write_text("cut sho")
    other = Holder(tmp_path)
    assert uuid.UUID(other.name) != uuid.UUID(holder.name)
    other.close()


def test_a_killed_process_leaves_the_data_folder_free(tmp_path: Path) -> None:
    code = "import sys, time, pathlib; from handlers.updater.leader.data_folder import Holder\n"
    code += "held = Holder(pathlib.Path(sys.argv[1])); print(held.name, flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        name = process.stdout.readline().strip()
        with pytest.raises(DataFolderInUseError):
            Holder(tmp_path, patience=0)
        os.kill(process.pid, signal.SIGKILL)
    again = Holder(tmp_path)
    assert again.name == name
    again.close()


def test_temporary_files_of_a_killed_updater_go_when_the_next_one_starts(tmp_path: Path) -> None:
    code = (
        "import os, sys, tempfile, pathlib\n"
        "from handlers.updater.leader.data_folder import Holder, own_temporary_folder\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "own_temporary_folder(folder)\n"
        "held = Holder(folder)\n"
        "child = tempfile.mkdtemp(prefix='lucir-', dir=os.environ['TMPDIR'])\n"
        "print(tempfile.mkdtemp(prefix='lucir-'), child, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    places: list[Path] = []
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not any(place.exists() for place in places)
        places = [Path(word) for word in killed.stdout.split()]
        assert all(place.is_relative_to(tmp_path / "tmp") and place.is_dir() for place in places)
    assert len(places) == 2
