"""Backbones: images in, features out. The classifier on top is in `lucir_core.heads`."""

from lucir_core.networks.factory import BACKBONES, create_backbone

__all__ = ["BACKBONES", "create_backbone"]
