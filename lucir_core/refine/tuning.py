"""LUCIR's objective on the last stages of a backbone, from the maps that its frozen part makes.

Embeddings of all classes start imprinted; then stages, embeddings and eta minimise cross-entropy, less-forget against
the backbone as it was, and margin ranking, and are fine-tuned on equally many images of each class (Hou et al., CVPR
2019; `lucir_core.methods.lucir`). All images of all classes are at hand, so that no class is new here:

- lambda is that of a phase without new classes: `lambda_base` times sqrt(classes known / classes that got images);
- the rivals of the ranking term are the best wrong classes (`ranking_against = any`), and every image has them;
- normalisation layers keep their statistics: they were made from a million images, and here are a few hundred;
- the fine-tune moves the stages too: the embeddings are made anew afterwards, from the features of all images.
"""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lucir_core.config.phase_config import Augmentation, PhaseConfig
from lucir_core.data.phase_data import ImageSet
from lucir_core.losses.rebalancing import less_forget_weight
from lucir_core.memory.herding import herd
from lucir_core.memory.prototypes import class_prototypes
from lucir_core.methods.lucir import cosine_head, incremental_loss
from lucir_core.models.heads import CosineHead
from lucir_core.models.model import IncrementalModel, frozen_copy
from lucir_core.refine.backbone_parts import LastStages
from lucir_core.refine.maps import Maps
from lucir_core.runtime.randomness import generator
from lucir_core.training.checkpoint import Checkpoint
from lucir_core.training.phase_run import PhaseRun, Progress
from lucir_core.training.schedule import Schedule

STARTING_ETA = 16.0
"""As in `lucir_core.frozen.lucir_head`: with 1 the first steps would only learn the scale."""
EXEMPLARS = 20
"""Of each class in the balanced fine-tune, as in the paper."""


def tune(
    config: PhaseConfig,
    last: LastStages,
    maps: Maps,
    labels: NDArray[np.int64],
    class_count: int,
    *,
    device: str,
    seed: int,
    report: Callable[[Progress], None],
    checkpoint: Checkpoint,
) -> None:
    """Train `last` in place. maps: (views * n, side, side, channels); labels: (n,), the same for each view."""
    refine, images = config.refine, len(labels)
    model = _starting_model(last, class_count, seed).to(device)
    rows = np.tile(labels, len(maps) // images)
    run = PhaseRun(
        config=_training_config(config),
        model=model,
        teacher=frozen_copy(model),
        images=ImageSet([maps], [rows], torch.device(device)),
        labels=rows,
        kept=np.zeros(len(rows), bool),
        old_count=class_count,
        new_count=0,
        seed=seed,
        checkpoint=checkpoint,
        report=report,
        size=maps.shape[1],
    )
    features = _features(run, images)
    head = cosine_head(model)
    with torch.no_grad():
        head.old.copy_(class_prototypes([features], labels, class_count).to(device))
    run.lambda_ = less_forget_weight(
        config.lambda_rule, config.lambda_base, class_count, run.learnt_count, config.lambda_max
    )
    share = refine.steps / (refine.steps + refine.balanced_steps)
    _train(run, "main", np.arange(len(rows)), refine.steps, refine.lr, (0.0, share))
    if refine.balanced_steps:
        chosen = _balanced(features.numpy(), labels)
        views = np.concatenate([chosen + view * images for view in range(len(maps) // images)])
        _train(run, "balanced", views, refine.balanced_steps, 0.1 * refine.lr, (share, 1.0))
    last.load_state_dict({name: value.cpu() for name, value in model.backbone.state_dict().items()})


def _starting_model(last: LastStages, class_count: int, seed: int) -> IncrementalModel:
    head = CosineHead(last.feature_dim)
    head.grow(class_count, generator("cpu", seed, "head"))
    head.grow(0, generator("cpu", seed, "head"))  # all rows are those of known classes
    with torch.no_grad():
        head.eta.fill_(STARTING_ETA)
    return IncrementalModel(copy.deepcopy(last), head, None)


def _training_config(config: PhaseConfig) -> PhaseConfig:
    """The settings of a LUCIR phase on maps, which are not changed any more."""
    return replace(
        config,
        method="lucir",
        head="cosine",
        frozen=False,
        settings=(),
        ranking_against="any",
        batch_size=config.refine.batch_size,
        augment=Augmentation(crop_padding=0, flip=False),
    )


def _train(
    run: PhaseRun, name: str, rows: NDArray[np.int64], steps: int, lr: float, share: tuple[float, float]
) -> None:
    epochs = max(1, round(steps * run.config.batch_size / len(rows)))
    run.train(
        name,
        incremental_loss(run),
        torch.from_numpy(rows).to(run.images.device),
        Schedule(epochs, lr, "cosine"),
        tuple(run.model.parameters()),
        eval_mode=(run.model.backbone,),
        share=share,
    )


@torch.no_grad()
def _features(run: PhaseRun, count: int) -> Tensor:
    """(n, dim) of the first view of each image, on the CPU."""
    batches = torch.split(torch.arange(count), 256)
    parts = [run.model.features(run.images.gather(batch).permute(0, 3, 1, 2)) for batch in batches]
    return torch.cat(parts).float().cpu()


def _balanced(features: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the exemplars of every class."""
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.concatenate([mine[herd(features[mine], EXEMPLARS)] for mine in classes])
