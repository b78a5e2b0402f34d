"""A registration that no longer answers everybody, and the requests that its workers still have."""

import os
import signal
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from handlers.torchserve.in_place.exchange import Exchange
from handlers.torchserve.inference_port import NoRoomError, ProbeError
from handlers.torchserve.management import RegisteredVersion, Worker
from handlers.torchserve.reconcile import Reconciler
from handlers.torchserve.retire import GRACE_SECONDS, Retirement
from tests.handlers.torchserve.conftest import Begun, MakeImage
from tests.support.clock import Clock
from tests.support.present import present
from tests.support.waiting import wait_for

LONGEST = 30.0


class Engine:
    """Management and probe. ``raises``: what a probe meets."""

    def __init__(self) -> None:
        self.raises: Exception | None = None
        self.unregistered: list[int] = []
        self.asked: list[int] = []

    def unregister(self, number: int) -> None:
        self.unregistered.append(number)

    def ask(self, number: int) -> int:
        self.asked.append(number)
        if self.raises:
            raise self.raises
        return number


def registered(number: int = 1, workers: int = 1, pending: int = 0) -> Collection[RegisteredVersion]:
    there = tuple(Worker(pid, True, False) for pid in range(workers))
    return [RegisteredVersion(number, False, workers, there, pending, "")]


def retired_after(engine: Engine, clock: Clock, version: Collection[RegisteredVersion], grace: float) -> float:
    """Seconds after which the version is let go, looked at each second."""
    parts: Any = engine
    retirement = Retirement(parts, parts, LONGEST, clock, grace)
    begun = clock.now
    while retirement.step(version):
        clock.now += 1
    return clock.now - begun


@pytest.mark.parametrize(
    ("version", "grace", "seconds"),
    [
        (registered(), GRACE_SECONDS, GRACE_SECONDS),
        (registered(workers=0), GRACE_SECONDS, GRACE_SECONDS),
        (registered(pending=1), GRACE_SECONDS, GRACE_SECONDS + LONGEST + 1),
        (registered(workers=2), GRACE_SECONDS, GRACE_SECONDS + LONGEST + 1),
        (registered(0, workers=2), GRACE_SECONDS, GRACE_SECONDS),
        (registered(workers=2), 0.0, 0.0),
    ],
    ids=["one worker", "none", "queued", "several workers", "nothing learnt", "uvicorn, which waits by itself"],
)
def test_how_long_a_version_stays(version: Collection[RegisteredVersion], grace: float, seconds: float) -> None:
    engine = Engine()
    assert retired_after(engine, Clock(1000.0), version, grace) == seconds
    assert len(engine.unregistered) == 1


@pytest.mark.parametrize(("raises", "stays"), [(NoRoomError("full"), True), (ProbeError("gone"), False)])
def test_who_is_not_answered(raises: Exception, stays: bool) -> None:
    engine = Engine()
    engine.raises = raises
    seconds = retired_after(engine, Clock(1000.0), registered(), GRACE_SECONDS)
    assert (seconds > LONGEST) == stays


@pytest.mark.slow
def test_a_request_that_another_worker_still_has_is_answered(
    begun: Begun, make_image: MakeImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the version that it was sent to, although the next one has workers of its own and answers already."""
    stack, _ = begun(workers=2, response_timeout_seconds=200)
    monkeypatch.setattr(Exchange, "possible", lambda *_: False)  # as after the end of a worker
    slow = present(stack.loaded()[1].workers[0].pid)
    asked: list[Future[httpx.Response]] = []
    clock = Clock(1000.0)
    with Reconciler(stack.settings, stack.versions, clock=clock) as reconciler, ThreadPoolExecutor(32) as clients:

        def one_is_held() -> bool:
            """Whether one waits for the slow worker: it is not answered, and a later one is."""
            asked.append(clients.submit(stack.post, make_image()))
            waiting = next((place for place, one in enumerate(asked) if not one.done()), len(asked))
            return any(one.done() for one in asked[waiting:])

        os.kill(slow, signal.SIGSTOP)
        try:
            wait_for(one_is_held)
            stack.publish(2)
            stack.settle(reconciler, lambda state: state.phase == "draining")
            clock.now += GRACE_SECONDS + 1
            assert reconciler.step().phase == "draining"
            assert set(stack.loaded()) == {1, 2}
        finally:
            os.kill(slow, signal.SIGCONT)
        assert {one.result().json()["model_version"] for one in asked} == {1}
        clock.now += stack.settings.serving.response_timeout_seconds
        assert reconciler.step().phase == "serving"
        assert set(stack.loaded()) == {2}
