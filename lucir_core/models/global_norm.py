"""Batch normalisation over a batch that several processes share. torch has one for GPUs only; this runs on any."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lucir_core.runtime.distributed import shares_batch

AXES = (0, 2, 3)


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d`, whose statistics are those of all processes while they share a batch."""

    def forward(self, input: Tensor) -> Tensor:
        """input: (share, channels, height, width)."""
        if not (self.training and shares_batch()):
            return super().forward(input)
        result, mean, variance, count = _Normalise.apply(input, self.weight, self.bias, self.eps)
        with torch.no_grad():
            rate = self.momentum
            assert rate is not None and self.running_mean is not None and self.running_var is not None  # noqa: S101, PT018  # as our networks make them
            self.running_mean.lerp_(mean, rate)
            self.running_var.lerp_(variance * (count / (count - 1).clamp_min(1.0)), rate)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        normalised: Tensor = result
        return normalised


def share_statistics(model: nn.Module, *, on: bool) -> None:
    """Turn all batch normalisations of a model into global ones, or back; parameters and buffers stay."""
    before, after = (nn.BatchNorm2d, GlobalBatchNorm2d) if on else (GlobalBatchNorm2d, nn.BatchNorm2d)
    for module in model.modules():
        if type(module) is before:
            module.__class__ = after


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias; also gives mean, variance (biased) and count."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        pixels = x.float()
        own = torch.tensor([x.numel() / x.shape[1]], dtype=torch.float64, device=x.device)
        # Two passes in float64, so that the figures do not depend on how the batch is divided.
        sums = torch.cat([own, pixels.sum(AXES, dtype=torch.float64)])
        dist.all_reduce(sums)
        count, mean = sums[0], sums[1:] / sums[0]
        centred = pixels - _column(mean.float())
        squares = centred.square().sum(AXES, dtype=torch.float64)
        dist.all_reduce(squares)
        variance = squares / count
        inverse = (variance + eps).rsqrt().float()
        ctx.save_for_backward(centred, weight, inverse, count)
        result = (centred * _column(inverse * weight) + _column(bias)).to(x.dtype)
        facts = mean.float(), variance.float(), count.float()
        ctx.mark_non_differentiable(*facts)
        return result, *facts

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        centred, weight, inverse, count = ctx.saved_tensors
        gradient = gradients[0].float()
        total = gradient.sum(AXES, dtype=torch.float64)
        along = (gradient * centred).sum(AXES, dtype=torch.float64) * inverse
        both = torch.stack([total, along])
        dist.all_reduce(both)
        means = (both / count).float()
        rest = gradient - _column(means[0]) - centred * _column(inverse * means[1])
        # Gradients of the parameters are those of the share: the trainer adds the others'.
        own = along.to(weight.dtype), total.to(weight.dtype)
        return (rest * _column(inverse * weight)).to(gradients[0].dtype), *own, None


def _column(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
