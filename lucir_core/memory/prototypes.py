"""Nearest mean of exemplars ("NME"): one prototype per class, under the present network."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def class_prototypes(views: list[Tensor], labels: np.ndarray, class_count: int) -> Tensor:
    """(classes, dim) float32 of length one, for a dot product with normalised features.

    views: features (exemplars, dim) of the exemplars and, optionally, of their mirror images; labels: (exemplars,).
    Per view the mean of the normalised features; the views' means averaged; the result normalised. A class without
    exemplars gets the zero vector and so is never the nearest unless all cosines are negative.
    """
    sums = torch.zeros(class_count, views[0].shape[1], dtype=torch.float64)
    owners = torch.from_numpy(labels)
    for features in views:
        sums.index_add_(0, owners, functional.normalize(features.double(), dim=1))
    # Sums instead of means: each class has the same count in every view, and the length is normalised away.
    return functional.normalize(sums, dim=1).float()
