"""What the learning child does, once it is sure to end with its parent: see ``handlers.updater.training``."""

import dataclasses
import json
import logging
import os
import platform
import shutil
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from handlers.logs import setup_logging
from handlers.updater.context.child import ChildProgress
from handlers.updater.training.arrays import LABELS, TRAIN
from handlers.updater.training.export_check import check_export, most_checked, spread
from handlers.updater.training.messages import RESULT, STATE, TASK, Result, Task
from handlers.updater.training.process import ERROR_FILE, EXIT_ENVIRONMENT
from lucir_core.config.phase_config import PhaseConfig, load_preset
from lucir_core.edit.edit_state import forget_images
from lucir_core.errors import ConfigError
from lucir_core.export.onnx_export import ExportCheck, export_onnx
from lucir_core.frozen.advice import compare_with_frozen
from lucir_core.imprint import imprint_phase
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.phase import PhaseData, Progress, run_phase
from lucir_core.refine.refinement import refine_state
from lucir_core.runtime.devices import choose_device, choose_threads
from lucir_core.state import LearnerState, load_state, save_state
from model_store.layout import HEAD, HOLDOUT, MODEL
from model_store.local_files import explain as explain_error
from model_store.local_files import is_full
from model_store.manifest import Refinement

logger = logging.getLogger(__name__)

RESUME = "resume"
SECONDS, REFINEMENT = "seconds.json", "refinement.json"


def run(folder: Path) -> int:
    """Learn the task in ``folder``; return the exit status."""
    task = Task.read(folder / TASK)
    setup_logging(task.log, "learning")
    try:
        learn(folder, task)
    except Exception as error:
        logger.exception("learning failed")
        return explain(folder, error)
    return 0


def learn(folder: Path, task: Task) -> None:
    """One phase or its imprint, its export and the comparison; everything is written to ``folder``."""
    if task.kind == "learnt":  # an imprint is over in seconds, and somebody waits for it
        os.nice(max(0, task.nice - os.nice(0)))
    config = load_preset(task.preset, task.overrides)
    torch.set_num_threads(choose_threads(task.threads, config))
    arrays = Path(task.arrays)
    labels = np.load(arrays / LABELS)
    images = np.load(arrays / TRAIN, mmap_mode="r")[: len(labels)]
    data = PhaseData(images=images, labels=labels, classes=task.classes)
    # An earlier process may have got so far, with the same task.
    state = load_state(folder / STATE) if (folder / STATE).exists() else _make_state(folder, task, config, data)
    learnt = time.monotonic()
    _say(ChildProgress(stage="export"))
    export_onnx(state, folder / MODEL, folder / HEAD)
    holdout = ImageBlobs.load(arrays / HOLDOUT)
    check = _check(state, folder / MODEL, holdout, images)
    Result(
        config=config.to_dict(),
        method=config.method,
        exemplars=dict(zip(state.classes, state.exemplars.counts().tolist(), strict=True)),
        calibration=None if state.calibration is None else dataclasses.asdict(state.calibration),
        advice=_advice(state, holdout) if task.kind == "learnt" else None,
        refinement=_refinement(folder),
        checked_images=check.images,
        max_cosine_difference=check.max_cosine_difference,
        seconds={
            "learn" if task.kind == "learnt" else "imprint": json.loads(
                (folder / STATE / SECONDS).read_text(encoding="utf-8")
            ),
            "export": time.monotonic() - learnt,
        },
        software=software(),
    ).write(folder / RESULT)


def _make_state(folder: Path, task: Task, config: PhaseConfig, data: PhaseData) -> LearnerState:
    """Learn or imprint, and save the state: the folder ``STATE`` is there whole, or not at all."""
    previous = load_state(Path(task.parent)) if task.parent is not None else None
    if previous is not None and task.forgotten:
        previous = forget_images(previous, {bytes.fromhex(digest) for digest in task.forgotten})
    started = time.monotonic()
    device = choose_device(task.device)
    found: Refinement | None = None
    if task.refines and previous is not None:
        state, found = _refined(folder, task, config, data, previous, device)
    elif task.kind == "provisional" and previous is not None:
        state = imprint_phase(config, data, previous, device=device, seed=task.seed)
    else:
        state = run_phase(config, data, previous, device=device, seed=task.seed, report=_report, resume=folder / RESUME)
    partial = folder / "state.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    save_state(state, partial)
    if found is not None:
        (partial / REFINEMENT).write_text(found.model_dump_json(), encoding="utf-8")
    (partial / SECONDS).write_text(json.dumps(round(time.monotonic() - started, 3)), encoding="utf-8")
    partial.rename(folder / STATE)
    return state


def _refined(
    folder: Path, task: Task, config: PhaseConfig, data: PhaseData, previous: LearnerState, device: str
) -> tuple[LearnerState, Refinement]:
    """Raises ``ConfigError`` where this machine has no GPU and one is asked for."""
    if task.needs_gpu and device == "cpu":
        raise ConfigError(
            "PyTorch finds no CUDA device, and on a processor refining takes minutes of all cores: set learning.refine "
            "to on if it is to be done all the same, or to off"
        )
    made = refine_state(config, data, previous, device=device, seed=task.seed, report=_report, resume=folder / RESUME)
    found = made.comparison
    return made.state, Refinement(
        images=found.images,
        before=found.before,
        after=found.after,
        low=found.interval.low,
        high=found.interval.high,
        learnt_from=made.learnt_from,
    )


def _refinement(folder: Path) -> Refinement | None:
    """What ``_make_state`` found, in this process or an earlier one."""
    path = folder / STATE / REFINEMENT
    return Refinement.model_validate_json(path.read_bytes()) if path.exists() else None


def _advice(state: LearnerState, holdout: ImageBlobs) -> str | None:
    found = compare_with_frozen(state, holdout)
    if found is None or not found.is_better:
        return None
    logger.warning("a pretrained backbone would do better: %s", found)
    return str(found)


def software() -> dict[str, str]:
    """What this model was made with."""
    packages = {name: version(name) for name in ("torch", "numpy", "onnx", "pillow", "lucir")}
    return {"python": platform.python_version(), **packages}


def _check(state: LearnerState, model: Path, holdout: ImageBlobs, train: NDArray[np.uint8]) -> ExportCheck:
    """Compare PyTorch and ONNX on held-out and training images. Raises ``ExportMismatchError``."""
    count = most_checked(state.config)
    images = [holdout.decode(index) for index in spread(len(holdout), count // 2)]
    images += [np.asarray(train[row]) for row in spread(len(train), count - len(images))]
    return check_export(state, model, images)


def _report(progress: Progress) -> None:
    _say(
        ChildProgress(
            stage=progress.stage,
            ratio=progress.ratio,
            epoch=progress.epoch,
            epochs=progress.epochs,
            losses={name: value for name, value in progress.losses.items() if value is not None},
            eta=progress.eta,
            lambda_=progress.lambda_,
        )
    )


def _say(progress: ChildProgress) -> None:
    sys.stdout.write(progress.model_dump_json() + "\n")
    sys.stdout.flush()


def explain(folder: Path, error: Exception) -> int:
    """Write ``error.json``; return the exit status that tells the drop's fault from the machine's."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, torch.OutOfMemoryError):
        text = f"the GPU has too little memory: lower learning.overrides.batch_size ({error})"
    elif isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error):  # torch's own
        asked = f" ({error})" if str(error) else ""
        text = f"memory ran out: lower learning.overrides.batch_size, or give the learning process more memory{asked}"
    elif is_full(error):
        text = str(explain_error(error, f"write in {folder}"))
    try:
        (folder / ERROR_FILE).write_text(json.dumps({"message": text}), encoding="utf-8")
    except OSError as full:  # the status says enough
        logger.warning("the reason cannot be left for the updater: %s", full)
    return EXIT_ENVIRONMENT if isinstance(error, OSError) else 1
