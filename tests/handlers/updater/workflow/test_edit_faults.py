"""Edits that are cut short, overtaken, impossible, or fail: each ends, and nothing else is held up by them."""

from dataclasses import replace

import pytest

from handlers.bucket.edit_documents import DeleteImages, Remove, Rename
from handlers.updater import service
from handlers.updater.context.update import Update
from handlers.updater.workflow import edit_steps
from handlers.updater.workflow.runner import Step
from tests.support.learning.bench import Bench, killed_at_every_step
from tests.support.present import present
from tests.support.stores.inspected import sha

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_process")]


@pytest.mark.timeout(600)
def test_an_edit_survives_a_kill_at_every_step(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    doomed = bench.archived("one")[:2]
    operation = DeleteImages(hashes=tuple(sha(bench.store.read(key)) for key in doomed))
    request = bench.updater.edits.submit(operation)
    killed_at_every_step(bench, monkeypatch, "EDIT_STEPS", "000002")
    bench.look()
    assert (bench.updater.records.latest(), bench.versions.numbers()) == ("000002", [1, 2])
    assert bench.requests_left() == []
    assert sorted(present(bench.updater.edits.state(request.id).answer).deleted) == doomed
    assert len(bench.archived("one")) == 13
    assert bench.learnt(2).find(operation.hashes) == {}


def test_what_got_in_between_is_edited_instead(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.ask(Rename(name="one", to="uno"), "000002")

    def rolled_back(step: Step) -> Step:
        def run(update: Update) -> None:
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


def test_what_has_become_impossible_meanwhile_is_refused_with_its_reason(bench: Bench) -> None:
    first = bench.updater.edits.submit(Rename(name="one", to="uno"))
    second = bench.updater.edits.submit(Rename(name="one", to="eins"))
    assert bench.run("000002").result == "published"
    done = bench.run("000003")
    assert (done.result, done.version) == ("rejected", None)
    assert "there is no class 'one'" in (done.reason or "")
    assert bench.updater.edits.state(first.id).update_id == "000002"
    assert bench.updater.edits.state(second.id).done == done
    assert bench.requests_left() == []


def test_an_edit_that_fails_is_given_up_and_drops_go_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    request = bench.updater.edits.submit(Remove(name="one"))
    with monkeypatch.context() as patch:
        patch.setattr(edit_steps, "EditTask", lambda **_: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                bench.run("000002")
        assert bench.run("000002").result == "failed"
    assert bench.requests_left() == []
    assert bench.updater.edits.state(request.id).state == "done"
    assert bench.versions.numbers() == [1]
    assert present(bench.ask(Remove(name="one"), "000003").done).result == "published"


def test_a_damaged_request_and_a_foreign_file_are_left_alone(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.store.write("requests/000001-1700000000000-0123abcd.json", b"{")
    bench.store.write("requests/notes.txt", b"mine")
    assert bench.ask(Rename(name="one", to="uno"), "000002").done is not None
    assert "a request is left alone" in caplog.text
    assert len(bench.requests_left()) == 2
