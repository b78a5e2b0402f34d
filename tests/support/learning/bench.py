"""An updater in the process of a test: a real store, real learning, no server and no threads of its own."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from handlers.bucket.edit_documents import EditRequest, Operation
from handlers.bucket.edit_requests import RequestState
from handlers.bucket.seen_images import Learnt
from handlers.bucket.update_documents import Done
from handlers.bucket.updates import DONE
from handlers.inference.preprocess import crop
from handlers.settings import Settings
from handlers.updater import service
from handlers.updater.context.update import Update
from handlers.updater.release.evaluate import open_model
from handlers.updater.service import Updater
from handlers.updater.training import edit_job, train_job
from handlers.updater.training.messages import TASK, EditTask, Task
from handlers.updater.training.process import Child, Job
from handlers.updater.workflow.runner import Step
from lucir_core.config.phase_config import load_preset
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.directory.directory_store import DirectoryStore
from model_store.manifest import Pointer
from model_store.versions import VersionStore
from tests.support.present import present
from tests.support.quick_settings import changed, quick_settings
from tests.support.waiting import PATIENCE


class Killed(BaseException):
    """The process ends here, as far as the updater can tell."""


class Bench:
    """An updater without server and threads of its own; ``restart`` leaves nothing of it but the store and the disk."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = settings.data / "store"
        self.store = DirectoryStore(self.root)
        self.versions = VersionStore(self.store)
        self._make()

    def _make(self) -> None:
        config = load_preset(self.settings.learning.preset, self.settings.learning.overrides)
        self.updater = Updater(self.settings, config, DirectoryStore(self.root))
        self.updater._leadership.start()
        self.updater._services.wait_served = lambda version, dropped: True
        assert self.updater._leadership.wait_active(PATIENCE)

    def restart(self) -> None:
        self.close()
        self._make()

    def close(self) -> None:
        self.updater._leadership.stop()

    def lead_again(self) -> None:
        """After ``close``, when nobody else is active: as the thread that tends the lease would."""
        lease = present(self.updater._leadership._lease)
        lease.tend()
        assert lease.active

    def change(self, **sections: dict[str, object]) -> None:
        """Begin anew with other settings, named as ``quick_settings.changed`` takes them."""
        self.settings = changed(self.settings, **sections)
        self.restart()

    def run(self, update_id: str) -> Done:
        """Go on until an update has ended, and what it leaves has been settled."""
        for _ in range(30):
            if (done := self.updater.records.read(Done, update_id, DONE)) is not None:
                self.updater._restore()
                return done
            self.look()
        raise AssertionError(f"update {update_id} does not end: {self.updater.status.snapshot()}")

    def look(self) -> None:
        """One turn of the updater's loop."""
        self.updater._watcher.look()
        self.updater._once()

    def see_what_arrives(self) -> None:
        """What the watcher's thread would find."""
        self.updater._watcher.look()

    def due_refinement(self) -> EditRequest | None:
        """What an updater with nothing else to do would begin."""
        self.updater._watcher.look()
        return self.updater._refinement.find(at_once=True)

    def ask(self, operation: Operation, update_id: str) -> RequestState:
        """Submit a request that becomes this update, and see it through."""
        request = self.updater.edits.submit(operation)
        self.run(update_id)
        state = self.updater.edits.state(request.id)
        assert state.update_id == update_id
        return state

    def archived(self, name: str, update: str = "000001") -> list[str]:
        """Keys of the originals of a class."""
        return sorted(info.key for info in self.store.list(f"archive/{update}/{name}/"))

    def requests_left(self) -> list[str]:
        return [key for info in self.store.list("requests/") if (key := info.key) != "requests/last.json"]

    def served(self) -> Pointer:
        return present(self.versions.current())

    def counted(self, result: str) -> float | None:
        """What ``lucir_versions_total`` counts of edited versions."""
        registry = self.updater.metrics.registry
        return registry.get_sample_value("lucir_versions_total", {"kind": "edited", "result": result})

    def blobs(self, version: int, name: str) -> ImageBlobs:
        return ImageBlobs.load(self.root / "versions" / str(version) / f"{name}.safetensors")

    def learnt(self, version: int) -> Learnt:
        return Learnt.load(self.root / "versions" / str(version) / "learnt.safetensors")

    def answers(self, version: int, images: np.ndarray) -> np.ndarray:
        """Names of the best classes."""
        size = self.versions.manifest(version).preprocessing.size
        session = open_model(self.root / "versions" / str(version) / "model.onnx", 1)
        (probabilities,) = session.run(["probabilities"], {"images": np.stack([crop(p, size) for p in images])})
        return np.array(self.versions.manifest(version).classes)[probabilities.argmax(axis=1)]


def digit_settings(data: Path, **overrides: object) -> Settings:
    """Short phases on digits of 8 x 8 pixels; ``overrides``: more of ``learning.overrides``."""
    small = {"network": "resnet8", "size": 8, "resize": 8, "epochs": 2, "min_steps": 2, "exemplars_per_class": 4}
    return quick_settings(data, **(small | overrides))


class InProcess(Child):
    """What the child does, without the seconds that a process of its own takes to begin."""

    def warm(self) -> None:
        """Nothing gets ready."""

    def run(self, job: Job, folder: Path, *_: object) -> None:
        if job == "edit":
            edit_job.edit(folder, EditTask.read(folder / TASK))
        else:
            train_job.learn(folder, Task.read(folder / TASK))


When = Literal["before", "after"]
BOTH: tuple[When, ...] = ("before", "after")


def dying(steps: Sequence[Step], name: str, when: When, runs: list[str]) -> tuple[Step, ...]:
    """The steps of an update, of which one ends the process before or after its work; ``runs`` lists those that ran."""

    def wrap(step: Step) -> Step:
        def run(update: Update) -> None:
            if when == "after":
                runs.append(step.name)
                step.run(update)
            raise Killed

        return replace(step, run=run) if step.name == name else step

    return tuple(map(wrap, steps))


def killed_at_every_step(bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, update_id: str) -> None:
    """Let the process end before and after each step of ``service.NAME``, and the next one go on, to a version.

    Every step runs once.
    """
    steps: tuple[Step, ...] = getattr(service, name)
    runs: list[str] = []
    for step in steps:
        for when in BOTH:
            monkeypatch.setattr(service, name, dying(steps, step.name, when, runs))
            if (step.name, when) == ("swap", "before"):
                shutil.rmtree(bench.settings.work_folder)  # another machine goes on
            with pytest.raises(Killed):
                bench.run(update_id)
            bench.restart()
    monkeypatch.setattr(service, name, steps)
    assert bench.run(update_id).result == "published"
    assert runs == [step.name for step in steps]


def drop_digits(root: Path, name: str, files: Iterable[bytes]) -> None:
    """Write image files into a folder of ``incoming/``, in their order."""
    folder = root / "incoming" / name
    folder.mkdir(parents=True, exist_ok=True)
    for index, data in enumerate(files):
        (folder / f"{index:03d}.png").write_bytes(data)
