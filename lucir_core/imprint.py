"""A phase's start without its training: new classes by the mean features of their images, everything else as it was.

What LUCIR begins a phase with (weight imprinting) is a classifier of all classes already: seconds after a drop it can
answer for new classes, until the learnt state replaces it. Backbone, old embeddings and eta stay, so that scores among
old classes are exactly those of the state before.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.data.phase_data import ImageSet, PhaseData
from lucir_core.errors import ConfigError, DataError
from lucir_core.memory.exemplars import choose_exemplars, exemplars_per_class
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.memory.prototypes import class_prototypes
from lucir_core.methods.base import grown_model
from lucir_core.models.features import extract_features
from lucir_core.models.heads import CosineHead
from lucir_core.models.model import place
from lucir_core.phase import check_fits
from lucir_core.runtime.devices import usable_device
from lucir_core.runtime.randomness import whole_seed
from lucir_core.state import LearnerState


def imprint_phase(
    config: PhaseConfig, data: PhaseData, previous: LearnerState, *, device: str = "cpu", seed: int = 1993
) -> LearnerState:
    """`previous` with the new classes of `data` imprinted; `previous` stays unchanged.

    A new class's embedding is the normalised mean of its images' normalised features, as long as the old embeddings
    are on average; its prototype and its exemplars come from the same features. Images of known classes are left out:
    nothing of an old class changes, but that its exemplars may become fewer, as `memory_total` asks.

    seed: recorded in the state; nothing here is random. Raises ConfigError without a cosine head or without `device`,
    DataError where the phase brings no new class or a new class has no image, StateError where the class lists do not
    fit together.
    """
    check_fits(config, data, previous)
    seed, placed = whole_seed(seed), usable_device(device)
    old_count = len(previous.classes)
    new_count = len(data.classes) - old_count
    if new_count == 0:
        raise DataError("imprinting needs a new class: images of known classes can only be learnt")
    new = np.flatnonzero(data.labels >= old_count)
    labels = data.labels[new].astype(np.int64)
    data.require_images(range(old_count, len(data.classes)))

    model = place(grown_model(config, previous.model, new_count, seed), device).eval()
    if not isinstance(model.head, CosineHead):
        raise ConfigError(f"imprinting needs the cosine head: the model was learnt with head = {config.head}")
    # The set's own labels are not used: the images of known classes keep their places in it.
    images = ImageSet([data.images], [data.labels], placed)
    features = extract_features(model, images, torch.from_numpy(new), config.size)
    model.head.imprint(_class_means(features, labels - old_count, new_count).to(model.device))
    table = features.numpy()
    chosen = choose_exemplars(
        config, labels, np.zeros(len(labels), bool), len(data.classes), lambda positions: table[positions]
    )
    views = [features[torch.from_numpy(chosen)]]
    if config.nme_flip != "none":
        views.append(extract_features(model, images, torch.from_numpy(new[chosen]), config.size, config.nme_flip))
    model.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # as in place()
    return LearnerState(
        model=model.requires_grad_(False),
        classes=data.classes,
        phase=previous.phase + 1,
        phase_sizes=(*previous.phase_sizes, new_count),
        exemplars=_joined(config, previous.exemplars, data, new[chosen]),
        prototypes=torch.cat([previous.prototypes, class_prototypes(views, labels[chosen] - old_count, new_count)]),
        config=config,
        seed=seed,
    )


def _class_means(features: Tensor, labels: np.ndarray, class_count: int) -> Tensor:
    """(classes, dim): means of the normalised features; features: (n, dim), labels: (n,) from 0."""
    unit = functional.normalize(features, dim=1)
    return torch.stack([unit[torch.from_numpy(np.flatnonzero(labels == i))].mean(dim=0) for i in range(class_count)])


def _joined(config: PhaseConfig, old: ImageBlobs, data: PhaseData, chosen: np.ndarray) -> ImageBlobs:
    """The old exemplars, as many as the memory has room for now, and the chosen images of the new classes."""
    budget = exemplars_per_class(config, len(data.classes))
    kept = np.concatenate([old.indices_of(label)[:budget] for label in range(len(old.classes))]).astype(np.int64)
    fresh = ImageBlobs.from_arrays(data.images[chosen], data.labels[chosen], data.classes)
    pngs = (*(old.pngs[position] for position in kept.tolist()), *fresh.pngs)
    return ImageBlobs(pngs, np.concatenate([old.labels[kept], fresh.labels]), data.classes)
