import pytest

from handlers.bucket.update_documents import FailedFolder
from handlers.settings import UpdaterSettings
from handlers.updater.intake.listing import Folder
from handlers.updater.intake.readiness import LEAST_GAP, FolderState, Readiness
from handlers.updater.intake.selection import select
from model_store.objects import ObjectInfo
from tests.support.present import present

NOW = 1_000_000.0


def folder(name: str, images: int = 12, *, age: float = 100.0, marked: bool = False, others: int = 0) -> Folder:
    made = Folder(name)
    for index in range(images):
        made.add(ObjectInfo(f"incoming/{name}/{index}.png", 10, "e", NOW - age), f"{index}.png")
    for index in range(others):
        made.add(ObjectInfo(f"incoming/{name}/{index}.txt", 10, "e", NOW - age), f"{index}.txt")
    if marked:
        made.add(ObjectInfo(f"incoming/{name}/_READY", 0, "e", NOW - age), "_READY")
    return made


class Looks:
    """Feeds listings to a Readiness, with a clock that moves."""

    def __init__(self, known: frozenset[str] = frozenset({"old"})) -> None:
        self.readiness = Readiness(UpdaterSettings(settle_seconds=10.0))
        self.known = known
        self.failed: dict[str, FailedFolder] = {}
        self.learning: frozenset[str] = frozenset()

    def at(self, seconds: float, *folders: Folder) -> dict[str, FolderState]:
        states = self.readiness.judge(
            {one.name: one for one in folders},
            self.known,
            self.failed,
            self.learning,
            wall=NOW + seconds,
            monotonic=seconds,
        )
        return {state.folder.name: state for state in states}


def test_two_equal_listings_make_a_quiet_folder_ready() -> None:
    looks = Looks()
    first = looks.at(0, folder("cat"))["cat"]
    assert first.state == "settling"
    assert looks.at(present(first.due_in), folder("cat"))["cat"].state == "ready"


STEPS: dict[str, list[tuple[float, list[Folder], dict[str, str]]]] = {
    "it still grows": [
        (0, [folder("cat", 12)], {"cat": "settling"}),
        (5, [folder("cat", 13)], {"cat": "settling"}),
        (5.2, [folder("cat", 13)], {"cat": "settling"}),
    ],
    "the store's clock is ahead": [
        (0, [folder("cat", age=-3600)], {"cat": "settling"}),
        (9, [folder("cat", age=-3600)], {"cat": "settling"}),
        (10, [folder("cat", age=-3600)], {"cat": "ready"}),
    ],
    "a marker": [(0, [folder("cat", 1, age=0, marked=True)], {"cat": "ready"})],
    "a marker waits a moment for folders that keep arriving": [
        (0, [folder("cat", age=0, marked=True), folder("dog", age=0)], {"cat": "settling"}),
        (LEAST_GAP, [folder("cat", age=0, marked=True), folder("dog", 13, age=0)], {"cat": "ready"}),
    ],
    "other files are taken up to be rejected": [
        (0, [folder("docs", 0, others=2)], {}),
        (20, [folder("docs", 0, others=2)], {"docs": "ready"}),
    ],
    "bad names do not wait for many images": [
        (0, [folder("_x", 1), folder("", 1)], {}),
        (20, [folder("_x", 1), folder("", 1)], {"_x": "ready", "": "ready"}),
    ],
}
"""What is listed at a second, and the states that follow."""


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS.keys())
def test_when_a_folder_is_ready(steps: list[tuple[float, list[Folder], dict[str, str]]]) -> None:
    looks = Looks()
    for seconds, folders, expected in steps:
        states = looks.at(seconds, *folders)
        assert {name: states[name].state for name in expected} == expected, seconds


def test_a_recent_object_waits_until_it_has_settled() -> None:
    looks = Looks()
    looks.at(0, folder("cat", age=0))
    state = looks.at(4, folder("cat", age=0))["cat"]
    assert (state.state, state.due_in) == ("settling", 6)
    assert looks.at(10, folder("cat", age=0))["cat"].state == "ready"


def test_a_listing_between_the_markers_of_one_drop_does_not_split_it() -> None:
    looks = Looks()
    looks.at(0, folder("cat", age=0), folder("dog", 3, age=0))
    between = looks.at(0.9, folder("cat", age=0, marked=True), folder("dog", 3, age=0))
    assert (between["cat"].state, between["cat"].due_in) == ("settling", LEAST_GAP)
    after = looks.at(1, folder("cat", age=0, marked=True), folder("dog", 3, age=0, marked=True))
    assert [state.state for state in after.values()] == ["ready", "ready"]


def test_waiting_folders_say_why() -> None:
    looks = Looks()
    looks.at(0, folder("few", 3), folder("empty", 0), folder("marked", 0, marked=True))
    states = looks.at(20, folder("few", 3), folder("empty", 0), folder("marked", 0, marked=True))
    assert "3 of at least 10" in states["few"].reason
    assert "empty" in states["empty"].reason
    assert "marker" in states["marked"].reason
    assert {state.state for state in states.values()} == {"waiting"}


def test_the_first_phase_needs_two_classes() -> None:
    looks = Looks(known=frozenset())
    looks.at(0, folder("cat"))
    alone = looks.at(20, folder("cat"), folder("docs", 0, others=1))["cat"]
    assert alone.state == "waiting"
    assert "two classes" in alone.reason
    looks.at(21, folder("cat"), folder("dog"))
    assert {s.state for s in looks.at(40, folder("cat"), folder("dog")).values()} == {"ready"}


def test_a_failed_folder_waits_until_its_content_changes() -> None:
    looks = Looks()
    looks.failed = {"cat": FailedFolder(fingerprint=folder("cat").fingerprint, update_id="000001", reason="NaN")}
    looks.at(0, folder("cat"))
    state = looks.at(20, folder("cat"))["cat"]
    assert state.state == "failed"
    assert "NaN" in state.reason
    looks.at(21, folder("cat", 13))
    assert looks.at(40, folder("cat", 13))["cat"].state == "ready"


def test_during_an_update_others_wait_for_its_end() -> None:
    looks = Looks()
    looks.learning = frozenset({"cat"})
    looks.at(0, folder("cat"), folder("dog"))
    states = looks.at(20, folder("cat"), folder("dog"))
    assert states["cat"].state == "learning"
    assert "running update" in states["dog"].reason


def test_selection_takes_whole_folders_while_they_fit() -> None:
    ready = [folder("a", 30, age=50), folder("b", 80, age=40), folder("c", 60, age=30)]
    chosen = select(ready, 100, first=False)
    assert {name: part.limit for name, part in chosen.items()} == {"a": 30, "c": 60}


def test_selection_learns_a_huge_folder_in_parts() -> None:
    assert {n: p.limit for n, p in select([folder("a", 500)], 100, first=False).items()} == {"a": 100}


def test_the_first_phase_shares_the_room_between_two() -> None:
    chosen = select([folder("a", 500, age=9), folder("b", 500, age=8), folder("c", 5, age=7)], 100, first=True)
    assert {name: part.limit for name, part in chosen.items()} == {"a": 50, "b": 50}


def test_folders_of_one_drop_wait_for_each_other_but_not_for_ever() -> None:
    looks = Looks()
    looks.at(0, folder("a", age=0))
    assert looks.at(11, folder("a", age=0), folder("b", age=-10))["a"].state == "settling"
    assert looks.at(12, folder("a", age=0), folder("b", 13, age=-12))["a"].reason.startswith("settled")
    grown = looks.at(41, folder("a", age=0), folder("b", 14, age=-40))
    assert (grown["a"].state, grown["b"].state) == ("ready", "settling")
