"""DER's channel masks (Yan, Xie and He, CVPR 2021), experimental: learnt gates that close channels, and their pruning.

A gate multiplies every channel by m = sigmoid(s * e) with a learnt e; s rises within every epoch from 1 / s_max to
s_max, so that the gates end nearly binary. Nobody outside the authors has reproduced the masks.

What we do differently: gates stand on the inner channels of the basic blocks alone, between their two convolutions. The
channels that blocks pass on are shared by all shortcuts of a stage and cannot be closed one by one. All gates begin
open (e = 1).
"""

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from lucir_core.models.resnet_cifar import BasicBlock


class ChannelGate(nn.Module):
    """(batch, channels, height, width) times the mask; `advance` once before every batch of an epoch of `batches`."""

    def __init__(self, channels: int, sharpest: float, batches: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.ones(channels))
        self.sharpest, self.batches = sharpest, batches
        # On the device and changed in place, so that a recorded step counts on; an epoch begins at 0 by itself.
        self.batch: Tensor
        self.sharpness: Tensor
        self.register_buffer("batch", torch.zeros(()), persistent=False)
        self.register_buffer("sharpness", torch.tensor(sharpest), persistent=False)

    @torch.no_grad()
    def advance(self) -> None:
        """Set the sharpness for the next batch of the epoch: the first 1 / s_max, the last s_max."""
        low = 1.0 / self.sharpest
        share = self.batch / (self.batches - 1) if self.batches > 1 else torch.ones_like(self.batch)
        self.sharpness.copy_(low + (self.sharpest - low) * share)
        self.batch.add_(1.0).remainder_(self.batches)

    def mask(self) -> Tensor:
        """(channels,) from 0 to 1; at test time as sharp as it gets."""
        sharpness = self.sharpness if self.training else torch.full_like(self.sharpness, self.sharpest)
        return cast(Tensor, _CompensatedSigmoid.apply(self.scores, sharpness))

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width)."""
        return x * self.mask().to(x.dtype).view(1, -1, 1, 1)


class _CompensatedSigmoid(torch.autograd.Function):
    """sigmoid(s * e) whose gradient is that of sigmoid(e): the paper's compensation, which divides s out of it."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, sharpness: Tensor) -> Tensor:
        ctx.save_for_backward(scores)
        return torch.sigmoid(sharpness * scores)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (scores,) = ctx.saved_tensors
        plain = torch.sigmoid(scores)
        return gradients[0] * plain * (1.0 - plain), None


def open_gates(backbone: nn.Module, sharpest: float, batches: int) -> tuple[ChannelGate, ...]:
    """Put a gate into every block."""
    device = next(backbone.parameters()).device
    for block in _blocks(backbone):
        block.gate = ChannelGate(block.conv1.out_channels, sharpest, batches).to(device)
    return gates_of(backbone)


def gates_of(backbone: nn.Module) -> tuple[ChannelGate, ...]:
    """All gates of a backbone."""
    return tuple(block.gate for block in _blocks(backbone) if isinstance(block.gate, ChannelGate))


def sparsity_loss(backbone: nn.Module) -> Tensor:
    """Sum over convolutions of kernel size times |mask before| times |mask after|, as a share of that with all open.

    Channels without a gate count as open.
    """
    kept, full = [], 0.0
    for block in _blocks(backbone):
        if isinstance(block.gate, ChannelGate):
            outer = sum(conv.kernel_size[0] * conv.kernel_size[1] * side for conv, side in _outer_sides(block))
            kept.append(outer * block.gate.mask().float().sum())
            full += outer * block.conv1.out_channels
    return torch.stack(kept).sum() / full


@torch.no_grad()
def close_gates(backbone: nn.Module) -> float:
    """Take the gates out: masks go into the normalisation before them, channels with a mask below 1/2 are put to 0.

    Returns the share of gated channels that stay. What is computed is the same but for the closed channels' remainder.
    """
    kept = total = 0
    for block in _blocks(backbone):
        if isinstance(block.gate, ChannelGate):
            mask = torch.sigmoid(block.gate.sharpest * block.gate.scores)
            stays = mask >= 0.5
            mask = mask * stays
            # A positive factor passes through the ReLU.
            block.bn1.weight.mul_(mask)
            block.bn1.bias.mul_(mask)
            block.gate = None
            kept, total = kept + int(stays.sum()), total + len(stays)
    return kept / total if total else 1.0


@torch.no_grad()
def revive(backbone: nn.Module, random: torch.Generator) -> None:
    """Re-initialise closed channels, as at the start of training: without this no gradient reaches them."""
    for block in _blocks(backbone):
        dead = closed(block)
        if dead.any():
            first, second, norm = block.conv1.weight, block.conv2.weight, block.bn1
            first[dead] = _drawn(first, random)[dead]
            second[:, dead] = _drawn(second, random)[:, dead]
            norm.weight[dead] = 1.0
            for statistics, value in ((norm.running_mean, 0.0), (norm.running_var, 1.0)):
                cast(Tensor, statistics)[dead] = value


def _drawn(weight: Tensor, random: torch.Generator) -> Tensor:
    fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
    return torch.empty(weight.shape).normal_(0.0, (2.0 / fan_out) ** 0.5, generator=random).to(weight.device)


def closed(block: BasicBlock) -> Tensor:
    """(inner channels,) bool: those that are always 0."""
    return (block.bn1.weight == 0) & (block.bn1.bias == 0)


def pruned(backbone: nn.Module) -> nn.Module:
    """The backbone without closed channels; itself where none is closed. At least one channel stays in a block."""
    if not any(bool(closed(block).any()) for block in _blocks(backbone)):
        return backbone
    backbone = copy.deepcopy(backbone)
    for block in _blocks(backbone):
        stays = torch.nonzero(~closed(block)).flatten()
        stays = stays if len(stays) else torch.zeros(1, dtype=torch.long)
        block.conv1.weight = nn.Parameter(block.conv1.weight[stays], requires_grad=False)
        block.conv2.weight = nn.Parameter(block.conv2.weight[:, stays], requires_grad=False)
        block.conv1.out_channels = block.conv2.in_channels = block.bn1.num_features = len(stays)
        for name in ("weight", "bias"):
            setattr(block.bn1, name, nn.Parameter(getattr(block.bn1, name)[stays], requires_grad=False))
        for name in ("running_mean", "running_var"):
            setattr(block.bn1, name, getattr(block.bn1, name)[stays])
    return backbone


def _outer_sides(block: BasicBlock) -> Sequence[tuple[nn.Conv2d, int]]:
    """Both convolutions with the number of their channels that have no gate."""
    return (block.conv1, block.conv1.in_channels), (block.conv2, block.conv2.out_channels)


def _blocks(backbone: nn.Module) -> list[BasicBlock]:
    return [module for module in backbone.modules() if isinstance(module, BasicBlock)]
