"""Following a drop: the documents of a real store, the status of a small server."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
from rich.console import Console

from handlers.bucket.update_documents import Role
from handlers.bucket.updates import UpdateRecords
from handlers.cli.output.drop_output import show_progress
from handlers.client import drop_progress
from handlers.client.drop_progress import DropProgress, DropTracker, Outcome, describe, follow
from handlers.client.errors import ClientError
from model_store.directory.directory_store import DirectoryStore
from tests.support.documents import make_done, make_entry, make_plan
from tests.support.waiting import PATIENCE

Result = Literal["published", "refused", "rejected", "failed", "superseded"]


def finish(store: DirectoryStore, roles: dict[str, Role], result: Result, version: int | None) -> str:
    """An update that decided on the objects of ``roles``."""
    update_id = plan(store, roles, version)
    UpdateRecords(store).write_done(make_done(update_id, result, version))
    return update_id


def plan(store: DirectoryStore, roles: dict[str, Role], version: int | None) -> str:
    """An update that has planned the objects of ``roles``; gives its id."""
    records = UpdateRecords(store)
    intent = records.begin({})
    entries = tuple(make_entry(key, role) for key, role in roles.items())
    records.write_plan(make_plan(intent.id, entries, version=version))
    return intent.id


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def test_a_drop_may_be_learnt_by_several_updates(store: DirectoryStore) -> None:
    finish(store, {"incoming/cat/old.png": "train"}, "published", 1)
    tracker = DropTracker(store, ["a", "b", "c"])
    assert not tracker.look()
    finish(store, {"a": "train", "b": "rejected", "x": "rejected"}, "published", 2)
    assert not tracker.look()
    finish(store, {"c": "holdout"}, "published", 3)
    assert tracker.look()
    assert tracker.outcome.version == 3
    assert tracker.outcome.rejected == [("b", "too small")]
    assert tracker.outcome.failure == ""


@pytest.mark.parametrize("result", ["refused", "failed", "rejected"])
def test_a_drop_that_was_not_learnt_is_a_failure(result: Result, store: DirectoryStore) -> None:
    tracker = DropTracker(store, ["a"])
    finish(store, {"a": "rejected"}, result, None)
    assert tracker.look()
    assert ("every file" if result == "rejected" else f"ended as {result}: the reason") in tracker.outcome.failure


def test_what_a_superseded_update_planned_is_planned_again(store: DirectoryStore) -> None:
    tracker = DropTracker(store, ["a", "b"])
    finish(store, {"a": "train", "b": "rejected"}, "superseded", None)
    assert not tracker.look()
    finish(store, {"a": "train"}, "published", 3)
    assert tracker.look()
    assert (tracker.outcome.version, tracker.outcome.rejected) == (3, [("b", "too small")])
    assert tracker.outcome.failure == ""


def test_a_provisional_version_is_told_of_once_it_is_served(store: DirectoryStore, serve: Callable[..., str]) -> None:
    asked: list[str] = []
    update = plan(store, {"a": "train"}, 3)

    def status(*_: object) -> tuple[int, bytes]:
        asked.append(update)
        if len(asked) == 3:  # the version is served, and soon after the update ends
            UpdateRecords(store).write_done(make_done(update, "published", 3))
        phase = {
            "update": update,
            "step": "learn",
            "epochs": None,
            "progress": 0.5,
            "provisional": 2,
            "seconds_left": 90.0,
        }
        served = 1 if len(asked) == 1 else 2 if len(asked) == 2 else 3
        document: dict[str, object] = {"served_version": served, "phase": phase if served < 3 else None, "waiting": []}
        return 200, json.dumps(document).encode()

    told = io.StringIO()
    outcome = show_progress(follow(store, serve(status), {"a"}, PATIENCE), Console(file=told, width=200))
    assert (outcome.version, outcome.provisional) == (3, 2)
    assert outcome.document()["provisional_seconds"] == outcome.provisional_seconds
    assert told.getvalue().count("provisional version 2 answers") == 1
    assert "learn, 50%, about 90 s left" in told.getvalue()


def test_the_end_is_when_the_version_is_served(store: DirectoryStore, serve: Callable[..., str]) -> None:
    served = iter([None, 1, 1, 2, 2, 2])
    last: list[int | None] = [None]

    def status(*_: object) -> tuple[int, bytes]:
        last[0] = next(served, last[0])
        return 200, json.dumps({"served_version": last[0], "phase": None, "waiting": []}).encode()

    url = serve(status)
    finish(store, {"a": "train"}, "published", 2)
    outcome = show_progress(follow(store, url, {"a"}, PATIENCE), Console(quiet=True))
    assert outcome.version == 2
    assert last[0] == 2


def test_a_timeout_says_what_is_going_on(store: DirectoryStore, serve: Callable[..., str]) -> None:
    waiting = [{"class": "cat", "images": 3, "state": "waiting", "reason": "3 of at least 10 images"}]
    document = json.dumps({"served_version": None, "phase": None, "waiting": waiting}).encode()
    url = serve(lambda *_: (200, document))
    with pytest.raises(ClientError, match=r"not learnt after 1 s \(waiting \(cat: 3 of at least 10 images\)\)"):
        list(follow(store, url, {"a"}, 1))


def test_what_the_updater_meets_meanwhile_is_told_and_what_it_met_before_is_not(
    store: DirectoryStore, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {"at": "14:00:00", "where": "store", "message": "of yesterday", "count": 1}
    full = {"at": "14:01:00", "where": "machine", "message": "No space left on device", "count": 1}
    lists = [[old], [old], [full, old], [full | {"at": "14:01:04", "count": 2}, old]]
    turns = iter(lists)

    def status(*_: object) -> tuple[int, bytes]:
        document = {"served_version": None, "phase": None, "waiting": [], "errors": next(turns, lists[-1])}
        return 200, json.dumps(document).encode()

    clock = iter(range(1000))
    quick = SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None)
    monkeypatch.setattr(drop_progress, "time", quick)
    told: list[str] = []
    with pytest.raises(ClientError, match="not learnt after"):
        told.extend(one.text for one in follow(store, serve(status), {"a"}, 80))
    trouble = "waiting; trouble: No space left on device"
    assert told[:4] == ["waiting", "waiting", trouble, trouble]
    assert told[-1] == "waiting"  # nothing new for long


def test_the_phase_in_a_few_words() -> None:
    phase = {"update": "000002", "step": "learn", "epoch": 3, "epochs": 20}
    assert describe({"phase": phase}) == "update 000002: learn, epoch 3 of 20"
    assert describe({"phase": phase | {"stage": "features"}}) == "update 000002: learn, image 3 of 20"
    assert describe(None) == "the updater does not answer"


def test_without_a_terminal_a_line_is_written_from_the_first_step_on() -> None:
    waits = [DropProgress("waiting", 0.0, seconds) for seconds in (0.1, 0.6)]
    pairs = ((1.2, 0.0), (1.7, 0.5), (6.5, 0.9))
    learns = [DropProgress("learn", ratio, seconds, 10.0 if ratio else None) for seconds, ratio in pairs]
    done = DropProgress("done", 1.0, 7.6, 0.0, outcome=Outcome(version=2))
    told = io.StringIO()
    show_progress([*waits, *learns, done], Console(file=told, width=40))
    assert told.getvalue().splitlines() == [
        "0 s: waiting",
        "1 s: learn",
        "6 s: learn, 90%, about 10 s left",
        "8 s: done",
    ]
