"""Exact resume of a phase: one safetensors file, written at the end of epochs, that a restart continues from.

It holds the model, the optimiser's momentum, what the method asked to remember, and where it was. Random draws need no
saving: they follow from the seed and the epoch's number. A file of another phase (other data, settings, seed or
starting point) is left aside with a warning.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.data.phase_data import PhaseData
from lucir_core.files import save_tensors_atomically
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.runtime.distributed import world
from lucir_core.training.trainer import Position, momentum_of

logger = logging.getLogger(__name__)

WRITING_SHARE = 0.05
"""Writing takes at most about this share of the time; between writes a kill costs a few epochs, never exactness."""

SAMPLED_IMAGES = 1024
"""So many images, evenly spaced, enter the fingerprint of the data; labels enter all."""


@dataclass(frozen=True)
class SavedPosition:
    """The content of a resume file."""

    stage: str
    finished: tuple[str, ...]
    """Stages before `stage`, all complete."""
    epoch: int
    model: dict[str, Tensor]
    momentum: tuple[Tensor | None, ...]
    facts: dict[str, np.ndarray]


class Checkpoint:
    """Reads and writes (in the main process) the resume file of one phase; without a path it does nothing."""

    def __init__(self, path: Path | None, fingerprint: str, *, writing_share: float | None = None) -> None:
        self._path = path
        self._fingerprint = fingerprint
        self._share = WRITING_SHARE if writing_share is None else writing_share
        self._last_end = -float("inf")
        self._last_cost = 0.0
        self._finished: list[str] = []
        self._saved = _read(path, fingerprint) if path is not None else None
        self.facts: dict[str, np.ndarray] = dict(self._saved.facts) if self._saved else {}

    def remember(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """A result that later epochs depend on: computed once, saved with every later epoch, then read back."""
        if name not in self.facts:
            self.facts[name] = world().broadcast(compute())
        return self.facts[name]

    def enter(self, stage: str, model: nn.Module) -> tuple[bool, Position | None]:
        """(whether the stage is already complete, where to continue); loads the saved weights when it is this stage."""
        saved = self._saved
        if saved is None:
            return False, None
        if stage in saved.finished:
            self._finished.append(stage)
            return True, None
        if stage != saved.stage:
            return False, None
        model.load_state_dict(saved.model)
        self._saved = None
        logger.info("phase resumed", extra={"stage": stage, "epoch": saved.epoch})
        return False, Position(saved.epoch, saved.momentum)

    def after_epoch(self, stage: str, epoch: int, epochs: int, model: nn.Module, optimiser: torch.optim.SGD) -> None:
        """Save, unless the last save was too recent; the end of a stage is always saved."""
        now = time.monotonic()
        if (
            self._path is None
            or not world().is_main_process
            or (epoch < epochs and now - self._last_end < self._last_cost / self._share)
        ):
            return
        momentum = momentum_of(optimiser)
        tensors = {f"model.{name}": _array(value) for name, value in model.state_dict().items()}
        tensors |= {f"momentum.{i}": _array(value) for i, value in enumerate(momentum) if value is not None}
        tensors |= {f"fact.{name}": value for name, value in self.facts.items()}
        position = {
            "fingerprint": self._fingerprint,
            "stage": stage,
            "finished": self._finished,
            "epoch": epoch,
            "parameters": len(momentum),
        }
        save_tensors_atomically(self._path, tensors, {"position": json.dumps(position)})
        self._last_end = time.monotonic()
        self._last_cost = self._last_end - now

    def leave(self, stage: str) -> None:
        """The stage is complete."""
        self._finished.append(stage)

    def close(self) -> None:
        """The phase is complete and kept elsewhere: the file goes."""
        if self._path is not None and world().is_main_process:
            self._path.unlink(missing_ok=True)


def phase_fingerprint(
    config: PhaseConfig,
    data: PhaseData,
    seed: int,
    start: nn.Module | None,
    exemplars: ImageBlobs,
    phase_sizes: tuple[int, ...],
) -> str:
    """What a phase's result depends on, as a hash: settings, data, seed, and what the phase before left.

    start, exemplars, phase_sizes: the model, the exemplars and the classes by phase that it starts from.
    """
    digest = hashlib.blake2b(digest_size=16)
    facts = [config.to_dict(), seed, phase_sizes, data.classes, data.images.shape]
    digest.update(json.dumps(facts, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(exemplars.labels, np.int64).tobytes())
    for png in exemplars.pngs:
        digest.update(hashlib.blake2b(png, digest_size=16).digest())
    digest.update(np.ascontiguousarray(data.labels, np.int64).tobytes())
    sampled = np.unique(np.linspace(0, len(data.images) - 1, min(len(data.images), SAMPLED_IMAGES)).astype(np.int64))
    digest.update(np.ascontiguousarray(data.images[sampled]).tobytes())
    for name, value in sorted((start.state_dict() if start is not None else {}).items()):
        digest.update(name.encode())
        digest.update(_array(value).tobytes())
    return digest.hexdigest()


def _array(value: Tensor) -> np.ndarray:
    return value.detach().cpu().contiguous().numpy()


def _read(path: Path, fingerprint: str) -> SavedPosition | None:
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            position = json.loads(file.metadata()["position"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping, only keys()
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        logger.warning(
            "the resume file is damaged; the phase starts again from the beginning",
            extra={"path": str(path), "error": str(error)},
        )
        return None
    if position["fingerprint"] != fingerprint:
        logger.warning(
            "the resume file belongs to another phase; this one starts from the beginning", extra={"path": str(path)}
        )
        return None
    return SavedPosition(
        stage=position["stage"],
        finished=tuple(position["finished"]),
        epoch=position["epoch"],
        model=_branch(tensors, "model."),
        momentum=tuple(tensors.get(f"momentum.{i}") for i in range(position["parameters"])),
        facts={name: value.numpy() for name, value in _branch(tensors, "fact.").items()},
    )


def _branch(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
