"""Backbones: images in, features out. The classifier on top is in `lucir_core.models.heads`."""

from lucir_core.models.factory import BACKBONES, create_backbone

__all__ = ["BACKBONES", "create_backbone"]
