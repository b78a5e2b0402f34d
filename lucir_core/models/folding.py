"""A frozen network with its batch normalisations multiplied into the convolutions before them."""

import copy
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def folded(network: nn.Module) -> nn.Module:
    """A copy in eval mode that computes the same up to rounding, without the normalisations that follow a convolution.

    Which convolution a normalisation follows is told by the names of this package's networks, which are torchvision's:
    `bn1` follows `conv1`, and in a Sequential the neighbours belong together. Others stay as they are.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for module in network.modules():
        for conv, norm in _pairs(module):
            first, second = getattr(module, conv), getattr(module, norm)
            setattr(module, conv, fuse_conv_bn_eval(first, second).requires_grad_(False))
            setattr(module, norm, nn.Identity())
    return network


def _pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Names of children of `module` that are a convolution and its normalisation."""
    children = dict(module.named_children())
    if isinstance(module, nn.Sequential):
        candidates = list(pairwise(children))
    else:
        candidates = [(name, f"bn{name.removeprefix('conv')}") for name in children if name.startswith("conv")]
    return [
        (conv, norm)
        for conv, norm in candidates
        # No subclass: timm has normalisations with an activation inside.
        if isinstance(children[conv], nn.Conv2d) and type(children.get(norm)) is nn.BatchNorm2d
    ]
