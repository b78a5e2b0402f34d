"""What every job of the learning child does around its work: its log, its result, and what is said of a failure."""

import dataclasses
import json
import logging
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import torch

from handlers.logs import setup_logging
from handlers.settings import LogSettings
from handlers.updater.training.messages import Result
from handlers.updater.training.process import ERROR_FILE, EXIT_ENVIRONMENT
from lucir_core.state import LearnerState
from model_store.local_files import explain as explain_error
from model_store.local_files import is_full
from model_store.manifest import Refinement

logger = logging.getLogger(__name__)


def do_job(folder: Path, name: str, log: LogSettings, work: Callable[[], None]) -> int:
    """Do ``work``; return the exit status. ``name``: what the log calls it."""
    setup_logging(log, name)
    try:
        work()
    except Exception as error:
        logger.exception("%s failed", name)
        return explain(folder, error)
    return 0


def make_result(
    state: LearnerState, seconds: Mapping[str, float], advice: str | None = None, refinement: Refinement | None = None
) -> Result:
    """What there is to say of a state that was made; the parameters as the fields of ``Result``."""
    return Result(
        config=state.config.to_dict(),
        method=state.config.method,
        exemplars=dict(zip(state.classes, state.exemplars.counts().tolist(), strict=True)),
        calibration=None if state.calibration is None else dataclasses.asdict(state.calibration),
        advice=advice,
        refinement=refinement,
        seconds=dict(seconds),
        software=_software(),
    )


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


def _software() -> dict[str, str]:
    """What this model was made with."""
    packages = {name: version(name) for name in ("torch", "numpy", "onnx", "pillow", "lucir")}
    return {"python": platform.python_version(), **packages}
