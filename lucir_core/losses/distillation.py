"""Losses that hold the scores of old classes to a teacher's, as pure functions."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def distillation_loss(logits: Tensor, old_logits: Tensor, temperature: float = 2.0) -> Tensor:
    """Divergence of the student's softmax from the teacher's over the teacher's classes, both at `temperature`.

    logits: (batch, classes), old classes first; old_logits: (batch, old classes), no gradient flows into them. Summed
    over classes, mean over the batch, not multiplied by the square of the temperature. The soft cross-entropy that some
    codes minimise differs by the teacher's entropy: same gradients, but this one is 0 for student = teacher.
    """
    teacher = functional.log_softmax(old_logits.detach().float() / temperature, dim=1)
    student = functional.log_softmax(logits[:, : teacher.shape[1]].float() / temperature, dim=1)
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True)


def grouped_distillation_loss(
    logits: Tensor, old_logits: Tensor, group_sizes: Sequence[int], temperature: float = 2.0
) -> Tensor:
    """The sum of `distillation_loss` over groups of classes, each softmax over its own group alone (EEIL).

    logits, old_logits: (batch, at least the groups' classes together), groups in order; empty groups are left out.
    """
    sizes = [size for size in group_sizes if size]
    count = sum(sizes)
    groups = zip(torch.split(logits[:, :count], sizes, 1), torch.split(old_logits[:, :count], sizes, 1), strict=True)
    return torch.stack([distillation_loss(student, teacher, temperature) for student, teacher in groups]).sum()


def new_class_loss(logits: Tensor, labels: Tensor, old_count: int) -> Tensor:
    """Cross-entropy over the new classes only, mean over the batch's samples of new classes; 0 without any.

    logits: (batch, classes), old classes first; labels: (batch,).
    """
    is_new = labels >= old_count
    if logits.shape[1] == old_count:
        return logits.sum() * 0.0
    targets = (labels - old_count).clamp_min(0)
    losses = functional.cross_entropy(logits[:, old_count:].float(), targets, reduction="none")
    return (losses * is_new).sum() / is_new.sum().clamp_min(1)


def sigmoid_loss(logits: Tensor, labels: Tensor, old_logits: Tensor | None, outputs: int) -> Tensor:
    """iCaRL's binary cross-entropy: one-hot targets, those of old classes replaced by the teacher's sigmoids.

    Summed over classes, mean over the batch, divided by `outputs`: the mean over a fixed head of that width, of which
    only the classes so far have grown. The replacement holds for every sample, exemplars of old classes included.
    """
    targets = functional.one_hot(labels, logits.shape[1]).float()
    if old_logits is not None:
        targets = torch.cat([old_logits.detach().float().sigmoid(), targets[:, old_logits.shape[1] :]], dim=1)
    losses = functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    return losses.sum(dim=1).mean() / outputs
