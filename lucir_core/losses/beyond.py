"""Losses beyond LUCIR's paper, as pure functions: separated softmax, decorrelation, importance-weighted distillation of
feature maps, balanced distillation. None of them asks the device for a number, so CUDA graphs can hold them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-8


def separated_softmax_loss(logits: Tensor, labels: Tensor, old_count: int) -> Tensor:
    """Cross-entropy of each image over the classes of its own side, old or new; mean over the batch.

    logits: (batch, classes), old classes first; labels: (batch,). New images then never press the scores of old classes
    down (Mittal, Galesso and Brox, "Essentials for Class Incremental Learning", 2021; Ahn et al., ICCV 2021).
    """
    is_new = torch.arange(logits.shape[1], device=logits.device) >= old_count
    other_side = is_new.unsqueeze(0) != (labels >= old_count).unsqueeze(1)
    return functional.cross_entropy(logits.float().masked_fill(other_side, -math.inf), labels)


def decorrelation_loss(features: Tensor, labels: Tensor, class_count: int) -> Tensor:
    """Mean squared correlation between two different features of a class, over the classes with two images or more.

    features: (batch, dim), standardised within each class of the batch; labels: (batch,). A phase 0 whose features
    spread over many directions is like one that has seen all classes (Shi et al., "Mimicking the Oracle", CVPR 2022).
    0 where no class has two images.
    """
    features = features.float()
    members = functional.one_hot(labels, class_count).float()
    counts = members.sum(dim=0)
    centred = features - ((members.t() @ features) / counts.clamp_min(1).unsqueeze(1))[labels]
    freedom = (counts - 1).clamp_min(1)
    variances = (members.t() @ centred.square()) / freedom.unsqueeze(1)
    unit = centred * (variances[labels] + EPSILON).rsqrt()
    # The sum of a correlation matrix's squares is that of the products between images: (batch, batch), not (dim, dim).
    products = (unit @ unit.t()).square() * (members @ members.t())
    whole = (members.t() @ products.sum(dim=1)) / freedom.square()
    diagonal = ((members.t() @ unit.square()) / freedom.unsqueeze(1)).square().sum(dim=1)
    counted = (counts > 1).float()
    dim = features.shape[1]
    pairs = max(1, dim * (dim - 1))
    return ((whole - diagonal) * counted).sum() / pairs / counted.sum().clamp_min(1)


def importance_loss(maps: Sequence[Tensor], old_maps: Sequence[Tensor], importance: Sequence[Tensor]) -> Tensor:
    """Distance between the squared maps of student and teacher, channel by channel, weighted by their importance.

    maps, old_maps: of each stage (batch, channels, height, width), no gradient flows into the latter; importance: of
    each stage (channels,), one on average. Every squared map has length one, so its scale does not matter. Mean over
    batch, channels and stages (Kang, Park and Han, "Adaptive Feature Consolidation", CVPR 2022).
    """
    distances = []
    for student, teacher, weights in zip(maps, old_maps, importance, strict=True):
        one, two = (
            functional.normalize(part.float().square().flatten(2), dim=2) for part in (student, teacher.detach())
        )
        distances.append((torch.linalg.vector_norm(one - two, dim=2) * weights).mean())
    return torch.stack(distances).mean()


def balanced_weights(counts: Tensor, beta: float) -> Tensor:
    """(classes,) weights that grow as a class has fewer images: 1 / (1 - beta ** images), one on average (float32).

    counts: (classes,) images of each class; a class without images counts as one with one.
    """
    weights = 1.0 / (1.0 - torch.pow(torch.tensor(beta, dtype=torch.float64), counts.double().clamp_min(1)))
    return (weights / weights.mean()).float()


def balanced_distillation_loss(logits: Tensor, target_logits: Tensor, weights: Tensor, temperature: float) -> Tensor:
    """Divergence of the student's softmax from the teacher's, whose probabilities are weighted by class and made to add
    up to one again; sum over classes, mean over the batch, no gradient into the teacher (FOSTER, Eq. 13).

    logits, target_logits: (batch, classes); weights: (classes,).
    """
    weighted = (target_logits.detach().float() / temperature).softmax(dim=1) * weights
    teacher = weighted / weighted.sum(dim=1, keepdim=True)
    student = functional.log_softmax(logits.float() / temperature, dim=1)
    return functional.kl_div(student, teacher, reduction="batchmean")
