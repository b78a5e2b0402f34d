"""Swaps inside TorchServe's workers under load, and what dies in the middle of one."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from handlers.demo.load import LoadClient, Request
from handlers.inference.workers.slot import Slot
from handlers.torchserve.inference_port import Probe, ProbeError
from tests.handlers.torchserve.conftest import Begun, MakeImage, Stack
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def pids(stack: Stack) -> set[int | None]:
    """Of the workers of the one registration there is."""
    (registered,) = stack.loaded().values()
    return {worker.pid for worker in registered.workers if worker.ready}


def check_none_saw_an_older_one(requests: list[Request]) -> None:
    """Whoever asks after somebody has had an answer of a version gets none of an older one, on any connection."""
    answers = [each for each in requests if each.version is not None]
    ends = sorted(answers, key=lambda each: each.began + each.seconds)
    newest, at = 0, 0
    for request in sorted(answers, key=lambda each: each.began):
        while at < len(ends) and ends[at].began + ends[at].seconds < request.began:
            newest = max(newest, ends[at].version or 0)
            at += 1
        assert (request.version or 0) >= newest, (request, newest)


@pytest.fixture
def before_the_exchange(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Have something happen once, when every worker has loaded the version and none answers with it."""

    def arrange(what: Callable[[], None]) -> None:
        plain = Slot.point_to

        def point_to(slot: Slot, folder: str) -> None:
            monkeypatch.setattr(Slot, "point_to", plain)
            what()
            plain(slot, folder)

        monkeypatch.setattr(Slot, "point_to", point_to)

    return arrange


def test_two_workers_change_together_also_when_one_is_killed_meanwhile(
    begun: Begun, make_image: MakeImage, before_the_exchange: Callable[..., None]
) -> None:
    stack, reconciler = begun(workers=2)
    first = pids(stack)
    assert len(first) == 2
    with LoadClient(stack.settings.inference_url, [make_image()], threads=4, think_seconds=0) as clients:
        for version in range(1, 6):
            if version > 1:
                stack.publish(version)
            stack.serve(reconciler, version)
            wait_for(lambda version=version: clients.first_answer(version))  # a swap may take less than a request
    assert (clients.problems(), pids(stack), set(stack.loaded())) == ([], first, {1})
    assert {request.version for request in clients.requests()} == {1, 2, 3, 4, 5}
    check_none_saw_an_older_one(clients.requests())
    # TorchServe knows the registration by the number that it began with.
    assert stack.post(make_image(), "/predictions/lucir/1").json()["model_version"] == 5
    assert stack.post(make_image(), "/predictions/lucir/5").status_code == 404

    victim = first.pop() or 0
    before_the_exchange(lambda: os.kill(victim, signal.SIGKILL))
    stack.publish(6)
    with LoadClient(stack.settings.inference_url, [make_image()], threads=4, think_seconds=0) as clients:
        stack.serve(reconciler, 6)
        wait_for(lambda: reconciler.step().phase == "serving" and len(pids(stack) - {victim}) == 2)
        replaced, answered = time.time(), len(clients.requests())
        wait_for(lambda: len(clients.requests()) > answered + 20)
    requests = clients.requests()
    check_none_saw_an_older_one(requests)
    assert {request.version for request in requests if request.began > replaced} == {6}
    # Those that the killed worker held; TorchServe may forget one of them, which then ends by the client's own time.
    assert sum(request.result == "failed" for request in requests) <= 4
    stack.versions.rollback(1)
    stack.serve(reconciler, 1)
    assert stack.post(make_image()).json()["model_version"] == 1


def test_torchserve_killed_in_the_middle_of_a_swap_comes_back_with_what_is_wanted(
    begun: Begun, make_image: MakeImage, before_the_exchange: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, reconciler = begun()
    before_the_exchange(lambda: stack.stop(signal.SIGKILL))
    stack.publish(2)
    stack.settle(reconciler, lambda state: state.phase != "serving" and state.served is None)
    stack.start()
    stack.serve(reconciler, 2)
    assert stack.post(make_image()).json()["model_version"] == 2
    stack.versions.rollback(1)
    stack.serve(reconciler, 1)
    assert stack.post(make_image()).json()["model_version"] == 1
    assert set(stack.loaded()) == {2}

    # The only worker ends when all have loaded the next version: its successor begins with that one.
    before_the_exchange(lambda: os.kill(pids(stack).pop() or 0, signal.SIGKILL))
    stack.publish(3)
    state = stack.settle(reconciler, lambda state: state.phase == "failed" or state.served == 3)
    assert (state.served, stack.post(make_image()).json()["model_version"], set(stack.loaded())) == (3, 3, {2})
    stack.versions.rollback(1)
    stack.serve(reconciler, 1)

    # The number of the registration, 2, is that of a version which answers no more: it can only come back in place.
    def last_look_fails(probe: Probe, address: int | None = None) -> int:
        monkeypatch.undo()
        raise ProbeError(f"nothing at {address}")

    monkeypatch.setattr(Probe, "ask", last_look_fails)
    stack.versions.point_to(2, "test")
    state = stack.settle(reconciler, lambda state: state.phase == "failed")
    assert "nothing at None" in state.message
    assert stack.post(make_image()).json()["model_version"] == 1
    stack.serve(reconciler, 2)
    assert stack.post(make_image()).json()["model_version"] == 2
