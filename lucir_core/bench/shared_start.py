"""Phase 0 once for all runs of a suite that begin alike: the same data, classes, seed and settings that act in phase 0.

The state lies in `work/starts` under a hash of all that it depends on, complete before its name appears. A run that
needs one which another run is learning waits for it. Where that one stops, by its time limit or a kill, the next one
goes on from its resume file.
"""

import dataclasses
import fcntl
import hashlib
import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lucir_core.bench.datasets.dataset import Dataset
from lucir_core.bench.result_file import read_json, write_json
from lucir_core.bench.spec import RunSpec
from lucir_core.bench.work import require_same
from lucir_core.config.phase_config import PhaseConfig
from lucir_core.errors import StateError
from lucir_core.state import CHECKPOINT, LearnerState, load_state, save_state

logger = logging.getLogger(__name__)

LATER = (
    "less_forget",
    "lambda_base",
    "lambda_rule",
    "lambda_max",
    "score_mimic",
    "freeze_old",
    "ranking_weight",
    "ranking_against",
    "top_k",
    "margin",
    "imprint",
    "cbf",
    "distillation",
    "replay",
    "lucir.importance",
    "lucir.separated_softmax",
    "lucir.boost",
)
"""Settings that no method reads in phase 0, where there are no old classes (tests/lucir_core/bench/test_shared_start.py
learns with each changed)."""

LEARNER = "learnt.json"
"""Beside the state: which run learnt it, and in how many seconds."""


class SharedStarts:
    """The common beginnings of `specs`; a run that shares its beginning with none is left alone."""

    def __init__(self, folder: Path, specs: Sequence[RunSpec], dataset: Dataset) -> None:
        self._folder = folder
        self._specs, self._digest = tuple(specs), dataset.digest()
        self._addresses = {spec.name: start_address(spec, dataset) for spec in specs}
        often = Counter(self._addresses.values())
        self._shared = {address for address, count in often.items() if count > 1}
        # A run that begins it and one that continues it use the same config.
        self._configs = {self._addresses[spec.name]: spec.config for spec in reversed(specs)}

    def address(self, spec: RunSpec) -> str | None:
        """Of the run's phase 0, where another run shares it."""
        address = self._addresses.get(spec.name)
        return address if address in self._shared else None

    @contextmanager
    def turn(self, spec: RunSpec, wait: Callable[[], None]) -> Iterator[LearnerState | None]:
        """The run's phase 0, if it is learnt; else None, and while the block lasts no other run learns it.

        wait: called again and again while another process is learning it; may raise to give up.
        """
        address = self.address(spec)
        if address is None:
            yield None
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{address}.lock").open("w", encoding="utf-8") as lock:
            while not (found := self._find(spec, address)) and not _locked(lock.fileno()):
                wait()
            # It may have been finished between the look and the lock.
            yield found or self._find(spec, address) or self._adopted(spec, address)

    def config(self, spec: RunSpec) -> PhaseConfig:
        """That the run's phase 0 is learnt with."""
        return spec.config if self.address(spec) is None else self._configs[self._addresses[spec.name]]

    def resume_file(self, spec: RunSpec) -> Path | None:
        """For `run_phase` inside `turn`; None where the run shares its phase 0 with none."""
        address = self.address(spec)
        return None if address is None else self._folder / f"{address}.resume"

    def learner(self, spec: RunSpec) -> dict[str, Any] | None:
        """`run`, `seconds` and `flops` of the other run that learnt this one's phase 0; None where it did so itself."""
        address = self.address(spec)
        if address is None or not (self._folder / address).is_dir():
            return None
        learner = read_json(self._folder / address / LEARNER)
        return None if learner["run"] == spec.name else learner

    def keep(self, spec: RunSpec, state: LearnerState, seconds: float, flops: float | None) -> None:
        """Publish a run's phase 0 and what it cost; inside `turn`."""
        address = self.address(spec)
        if address is None or (self._folder / address).exists():
            return
        unfinished = self._folder / f"{address}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        save_state(state, unfinished)
        write_json(unfinished / LEARNER, {"run": spec.name, "seconds": round(seconds, 3), "flops": flops})
        unfinished.replace(self._folder / address)

    def tidy(self, left: Sequence[RunSpec]) -> None:
        """Remove every beginning that none of the runs `left` needs any more."""
        needed = {self._addresses[spec.name] for spec in left}
        for address in self._shared - needed:
            shutil.rmtree(self._folder / address, ignore_errors=True)
            shutil.rmtree(self._folder / f"{address}.unfinished", ignore_errors=True)
            for suffix in ("lock", "resume"):
                (self._folder / f"{address}.{suffix}").unlink(missing_ok=True)
        for folder in (self._folder, self._folder.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _adopted(self, spec: RunSpec, address: str) -> LearnerState | None:
        """The phase 0 of a run that learnt it alone, here or on another machine, and still has it; then published."""
        for other in self._specs:
            folder = self._folder.parent / other.name
            if self._addresses[other.name] != address or not (folder / "phase-0" / CHECKPOINT).is_file():
                continue
            try:
                facts, state = read_json(folder / "run.json"), load_state(folder / "phase-0")
                require_same(facts["identity"], {**other.identity(), "data": self._digest}, folder)
            except StateError as error:
                # The run may have gone on in another process and need it no more.
                logger.warning("phase 0 of %s cannot be shared: %s", other.name, error)
                continue
            (first, *_) = facts["phases"] or [{"seconds": facts["open_seconds"]}]
            self.keep(other, state, first["seconds"], first.get("flops"))
            return self._find(spec, address)
        return None

    def _find(self, spec: RunSpec, address: str) -> LearnerState | None:
        folder = self._folder / address
        # Settings that act later differ between the runs that share it.
        return dataclasses.replace(load_state(folder), config=spec.config) if folder.is_dir() else None


def start_address(spec: RunSpec, dataset: Dataset) -> str:
    """A hash of all that the state after phase 0 depends on."""
    config = _acting_at_first(spec.config.to_dict())
    protocol = spec.protocol
    classes = protocol.seen(0)
    names = [dataset.classes[label] for label in classes]
    facts = [dataset.digest(), classes, names, protocol.images_per_class, spec.seed, config]
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=12).hexdigest()


def _acting_at_first(config: dict[str, Any]) -> dict[str, Any]:
    """Without the settings of `LATER`, those inside a branch too."""
    inside = {name.partition(".")[::2] for name in LATER if "." in name}
    return {
        name: {key: part for key, part in value.items() if (name, key) not in inside}
        if isinstance(value, dict)
        else value
        for name, value in config.items()
        if name not in LATER
    }


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
