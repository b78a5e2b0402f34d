"""What is known after a phase, and its two files: `checkpoint.safetensors` and `exemplars.safetensors`. No pickle."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lucir_core.config.phase_config import PhaseConfig, config_from_dict
from lucir_core.errors import StateError
from lucir_core.files import save_tensors_atomically
from lucir_core.memory.calibration import Calibration
from lucir_core.memory.feature_memory import FeatureMemory
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.models.branched import branch_count
from lucir_core.models.heads import AnalyticHead
from lucir_core.models.model import IncrementalModel, empty_model

CHECKPOINT = "checkpoint.safetensors"
EXEMPLARS = "exemplars.safetensors"
FEATURES = "features.safetensors"
"""Only of a state whose backbone is frozen."""
FORMAT = "lucir-state/1"


@dataclass(frozen=True, eq=False)
class LearnerState:
    """A model that has learnt phases 0 to `phase`, with all that the next phase needs. Treat it as immutable."""

    model: IncrementalModel
    """On the CPU, in eval mode."""
    classes: tuple[str, ...]
    """In output order; learnt classes keep their place for good."""
    phase: int
    phase_sizes: tuple[int, ...]
    """Classes that each phase added; they add up to the number of classes."""
    exemplars: ImageBlobs
    """Classes ascending, herding order within each."""
    prototypes: Tensor
    """(classes, dim), of length one, under this model."""
    config: PhaseConfig
    seed: int
    lambda_: float | None = None
    """Weight of the less-forget term in the last phase."""
    features: FeatureMemory | None = None
    """With a frozen backbone: the features of every image that was learnt, from which the head is computed."""
    calibration: Calibration | None = None
    """With a frozen backbone: what its probabilities and its "unknown" are worth."""

    @property
    def old_count(self) -> int:
        """Classes known before the last phase."""
        return len(self.classes) - self.phase_sizes[-1]

    @property
    def eta(self) -> float | None:
        """The learnt softmax scale; None with a linear head."""
        eta = getattr(self.model.head, "eta", None)
        return None if eta is None else float(eta.detach())


def save_state(state: LearnerState, folder: Path | str) -> None:
    """Write the files into `folder`, each atomically, the checkpoint last."""
    folder = Path(folder)
    state.exemplars.save(folder / EXEMPLARS)
    if state.features is not None:
        state.features.save(folder / FEATURES)
    head = state.model.head
    facts = {
        "format": FORMAT,
        "classes": state.classes,
        "phase": state.phase,
        "phase_sizes": state.phase_sizes,
        "old_rows": head.old.shape[0],
        "new_rows": head.new.shape[0],
        "branches": branch_count(state.model.backbone),
        "config": state.config.to_dict(),
        "seed": state.seed,
        "lambda": state.lambda_,
        "exemplars": len(state.exemplars),
        "calibration": None if state.calibration is None else dataclasses.asdict(state.calibration),
        "torch": torch.__version__,
    }
    tensors = {f"model.{name}": value.cpu().contiguous().numpy() for name, value in state.model.state_dict().items()}
    tensors["prototypes"] = state.prototypes.numpy()
    save_tensors_atomically(folder / CHECKPOINT, tensors, {"state": json.dumps(facts, ensure_ascii=False)})


def load_state(folder: Path | str) -> LearnerState:
    """Read what `save_state` wrote; raises StateError where files are missing, damaged or do not fit together."""
    folder = Path(folder)
    path = folder / CHECKPOINT
    try:
        with safe_open(path, framework="pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping, only keys()
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"{path} is not a checkpoint of this library, or it is damaged: {error}") from error
    if facts["format"] != FORMAT:
        raise StateError(f"{path} has format {facts['format']!r}, this version reads {FORMAT!r}")
    exemplars = ImageBlobs.load(folder / EXEMPLARS)
    if exemplars.classes != tuple(facts["classes"]) or len(exemplars) != facts["exemplars"]:
        raise StateError(f"{EXEMPLARS} and {CHECKPOINT} in {folder} are not of the same phase: restore both together")
    config = config_from_dict(facts["config"])
    model = empty_model(config, facts["old_rows"], facts["new_rows"], facts.get("branches"))
    concepts = tensors.get("model.head.concepts.bias")
    if concepts is not None and isinstance(model.head, AnalyticHead):
        model.head.open_concepts(len(concepts), capped="model.head.concepts.capped" in tensors)
    try:
        model.load_state_dict(
            {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        )
    except RuntimeError as error:
        raise StateError(f"{path} does not fit the network {config.network}: {error}") from error
    return LearnerState(
        model=model.eval().requires_grad_(False),
        classes=tuple(facts["classes"]),
        phase=facts["phase"],
        phase_sizes=tuple(facts["phase_sizes"]),
        exemplars=exemplars,
        prototypes=tensors["prototypes"],
        config=config,
        seed=facts["seed"],
        lambda_=facts["lambda"],
        features=FeatureMemory.load(folder / FEATURES) if config.frozen else None,
        calibration=None if facts.get("calibration") is None else Calibration(**facts["calibration"]),
    )
