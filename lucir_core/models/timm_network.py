"""Networks of the package timm, made without a connection: `timm:mobilenetv3_large_100`."""

from typing import cast

import torch
from torch import Tensor, nn

from lucir_core.errors import ConfigError
from lucir_core.weights.timm_facts import PREFIX, timm_facts, timm_package


class TimmNetwork(nn.Module):
    """Images (batch, 3, side, side), normalised, to features (batch, feature_dim): what timm's classifier would get."""

    def __init__(self, network: str, seed: int = 0) -> None:
        """network: with its prefix; initial weights are drawn from `seed`. Raises ConfigError as `timm_facts` does."""
        super().__init__()
        size = timm_facts(network).size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            name = network.removeprefix(PREFIX)
            self.body: nn.Module = timm_package().create_model(name, pretrained=False, num_classes=0)
        self.body.eval()
        with torch.no_grad():
            shape = tuple(self.body(torch.zeros(1, 3, size, size)).shape)
        self.body.train()
        if len(shape) != 2:
            raise ConfigError(f"{network} gives features of shape {shape}, not one row: choose another network")
        self.feature_dim = int(shape[1])

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, 3, side, side), normalised; features: (batch, feature_dim)."""
        return cast(Tensor, self.body(x))
