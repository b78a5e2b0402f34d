"""The drops of the story: drop, wait until it is served, measure, count what the client saw meanwhile."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from handlers.client import Client
from handlers.client.drop_progress import Outcome
from handlers.demo.errors import DemoError
from handlers.demo.load import LoadClient, Request, Traffic
from handlers.demo.material import Material, write_folders
from handlers.demo.service_accuracy import Measured, ask_service
from handlers.demo.stack import DemoStack
from handlers.stack.folder import StackRecord
from model_store.connect import open_store
from model_store.objects import ObjectStore
from model_store.versions import VersionStore

PHASE_SECONDS = 900.0
ANSWER_SECONDS = 30.0
AFTER_SWAP_SECONDS = 5.0
"""The old version is drained and unregistered well within this."""
BEFORE_SWAP_SECONDS = 0.5


@dataclass(frozen=True)
class PhaseResult:
    """What one drop led to."""

    new: tuple[str, ...]
    version: int
    images: int
    rejected: int
    served_seconds: float
    """From the end of the drop to the first answer of the new version."""
    measured: Measured
    traffic: Traffic
    """From the drop to the end of the swap."""
    swap: Traffic
    """From just before the pointer moved to ``AFTER_SWAP_SECONDS`` after the first new answer."""


@dataclass(frozen=True)
class ServiceResult:
    """The service's part of one story."""

    phases: tuple[PhaseResult, ...]
    traffic: Traffic
    problems: tuple[str, ...]
    ready_seconds: float


def run_service(material: Material, work: Path, log: Path, options: Sequence[str], console: Console) -> ServiceResult:
    """Start a stack, drop, ask, measure, stop. Raises ``DemoError`` when a step fails."""
    started = time.monotonic()
    with ExitStack() as running:
        with console.status("starting storage, the serving engine and the updater"):
            record = running.enter_context(DemoStack(work / "data", log, options))
        ready_seconds = time.monotonic() - started
        console.print(f"  the stack is ready after {ready_seconds:.1f} s: {record.inference_url}")
        asked = [image for images in material.test.values() for image in images]
        client = running.enter_context(LoadClient(record.inference_url, asked))
        story = _Story(record, work / "data", open_store(record.store), client, material, work, console)
        phases = tuple(story.phase(number) for number in range(len(material.phases)))
        return ServiceResult(phases, client.traffic(), tuple(client.problems()), ready_seconds)


@dataclass
class _Story:
    record: StackRecord
    data: Path
    objects: ObjectStore
    client: LoadClient
    material: Material
    work: Path
    console: Console
    before: Measured | None = None

    def phase(self, number: int) -> PhaseResult:
        new = self.material.phases[number]
        known = tuple(name for phase in self.material.phases[: number + 1] for name in phase)
        folder = write_folders(self.material.train, new, self.work / f"drop-{number + 1}")
        self.console.print(f"  drop {number + 1}: the {self.material.noun} {', '.join(new)}")
        images, outcome, dropped = self._drop(folder)
        version = outcome.version
        if version is None or outcome.failure:
            raise DemoError(f"drop {number + 1} was not learnt: {outcome.failure or 'every file was refused'}")
        first = self._wait_for(version)
        test = {name: self.material.test[name] for name in known}
        result = ask_service(self.record.inference_url, version, test, new, self.before)
        self.before = result
        served = first.began + first.seconds
        self.console.print(f"    version {version} answers after {served - dropped:.0f} s, {result.all:.1%} are right")
        end = served + AFTER_SWAP_SECONDS
        time.sleep(max(0.0, end - time.time()))
        pointer = VersionStore(self.objects).current()
        swap_begin = pointer.changed_at.timestamp() - BEFORE_SWAP_SECONDS if pointer else dropped
        return PhaseResult(
            new=new,
            version=version,
            images=images,
            rejected=len(outcome.rejected),
            served_seconds=served - dropped,
            measured=result,
            traffic=self.client.traffic(dropped, end),
            swap=self.client.traffic(swap_begin, end),
        )

    def _drop(self, folder: Path) -> tuple[int, Outcome, float]:
        """(images, outcome, when the drop was complete)."""
        service = Client(self.data)
        drop = service.drop(folder)
        dropped = time.time()
        return len(drop.uploads), service.wait(drop, PHASE_SECONDS), dropped

    def _wait_for(self, version: int) -> Request:
        """The client's first answer from ``version``."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            if (found := self.client.first_answer(version)) is not None:
                return found
            time.sleep(0.1)
        raise DemoError(f"version {version} never answered the client")


def as_options(values: Mapping[str, object]) -> list[str]:
    """Settings as ``--set`` options."""
    return [
        word
        for key, value in values.items()
        for word in ("--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}")
    ]
