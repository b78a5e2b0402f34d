"""Several backbones side by side on the same images, their features concatenated."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class BranchedBackbone(nn.Module):
    """Features of all branches, oldest branch first."""

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    @property
    def feature_dim(self) -> int:
        """Of all branches together."""
        return sum(cast(int, branch.feature_dim) for branch in self.branches)

    @property
    def newest(self) -> nn.Module:
        """The last branch."""
        return self.branches[-1]

    @property
    def earlier(self) -> tuple[nn.Module, ...]:
        """All others."""
        return tuple(self.branches)[:-1]

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, 3, height, width), normalised; features: (batch, feature_dim)."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def branch_count(backbone: nn.Module) -> int | None:
    """How many branches; None for a backbone without branches."""
    return len(backbone.branches) if isinstance(backbone, BranchedBackbone) else None
