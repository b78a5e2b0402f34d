"""The backbones by name."""

import math
from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from lucir_core.models.efficientnet_lite import EfficientNetLite
from lucir_core.models.resnet_cifar import CifarResNet
from lucir_core.models.resnet_cifar18 import WideCifarResNet
from lucir_core.models.resnet_imagenet import ImageNetResNet
from lucir_core.models.timm_network import TimmNetwork
from lucir_core.registry import Registry
from lucir_core.weights.load_weights import load_weights
from lucir_core.weights.timm_facts import is_timm


class BackboneFactory(Protocol):
    """Makes a backbone: a module from (batch, 3, size, size) to (batch, feature_dim) with the attribute feature_dim."""

    def __call__(self, *, last_relu: bool) -> nn.Module:
        """`last_relu=False` lets features take both signs, as a cosine head wants them."""
        ...


BACKBONES: Registry[BackboneFactory] = Registry("network")
for _depth in (8, 14, 20, 32, 44, 56):
    BACKBONES.register(f"resnet{_depth}")(partial(CifarResNet, (_depth - 2) // 6))
BACKBONES.register("resnet18")(ImageNetResNet)
BACKBONES.register("resnet18_cifar")(WideCifarResNet)


def _efficientnet(width: float, depth: float) -> BackboneFactory:
    def make(*, last_relu: bool) -> nn.Module:
        """Both kinds of head get the features as they were trained, after the activation: `last_relu` has no say."""
        return EfficientNetLite(width, depth)

    return make


BACKBONES.register("efficientnet_lite0")(_efficientnet(1.0, 1.0))
BACKBONES.register("efficientnet_lite2")(_efficientnet(1.1, 1.2))


def create_backbone(name: str, *, last_relu: bool, seed: int = 0, weights: str | None = None) -> nn.Module:
    """A backbone with weights drawn from `seed` alone, or read from `weights` (see `load_weights`).

    name: of the registry, or `timm:NAME`; a network of timm has its own activations, so that `last_relu` has no say.
    """
    backbone = TimmNetwork(name, seed) if is_timm(name) else _drawn(name, last_relu, seed)
    if weights is not None:
        load_weights(backbone, name, weights)
    return backbone


def _drawn(name: str, last_relu: bool, seed: int) -> nn.Module:
    make: Callable[..., nn.Module] = BACKBONES.get(name)
    # Layers draw default weights from the global generator on construction; on the meta device they draw none.
    with torch.device("meta"):
        backbone = make(last_relu=last_relu)
    backbone = backbone.to_empty(device="cpu")
    _initialise(backbone, torch.Generator().manual_seed(seed))
    if isinstance(backbone, WideCifarResNet):
        backbone.start_as_shortcuts()
    return backbone


def _initialise(backbone: nn.Module, generator: torch.Generator) -> None:
    """Convolutions Kaiming-normal by fan-out; normalisation scale 1, shift 0."""
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            _fill_normal(module.weight, math.sqrt(2.0 / fan_out), generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def _fill_normal(weight: Tensor, std: float, generator: torch.Generator) -> None:
    with torch.no_grad():
        weight.normal_(0.0, std, generator=generator)
