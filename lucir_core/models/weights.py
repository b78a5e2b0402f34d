"""Starting weights of a backbone, from a local file or from torchvision. Nothing is ever unpickled."""

import logging
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lucir_core.errors import ConfigError
from lucir_core.models.pretrained import imagenet_state

logger = logging.getLogger(__name__)


def load_weights(backbone: nn.Module, network: str, source: str) -> None:
    """Fill `backbone` from a file (.safetensors, or a torch state dict) or from a named source.

    `imagenet`: an installed package (see `lucir_core.models.pretrained`); `torchvision`: its zoo. A classifier in the
    file (`fc.*`) is left out; anything else missing or too much raises ConfigError.
    """
    if source == "imagenet":
        state = dict(zip(backbone.state_dict(), imagenet_state(network)[:-2], strict=True))
    else:
        state = _torchvision_state(network) if source == "torchvision" else _file_state(Path(source))
    state = {name.removeprefix("module."): value for name, value in state.items()}
    state = {name: value for name, value in state.items() if not name.startswith(("fc.", "classifier."))}
    # Older files have no batch counters; they play no part in the result.
    present = backbone.state_dict()
    counters = {name: value for name, value in present.items() if name.endswith("num_batches_tracked")}
    try:
        backbone.load_state_dict(counters | state)
    except RuntimeError as error:
        raise ConfigError(f"the weights in {source} do not fit the network {network}: {error}") from error
    logger.info("starting weights loaded", extra={"network": network, "source": source})


def _file_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ConfigError(
            f"weights {str(path)!r} is not a file: give a .safetensors or state-dict file, imagenet or torchvision"
        )
    if path.suffix == ".safetensors":
        return load_file(path)
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(f"{path} holds no state dict (names to tensors): save model.state_dict()")
    return state


def _torchvision_state(network: str) -> dict[str, Tensor]:
    if network != "resnet18":
        raise ConfigError(f"torchvision has no weights for {network}: choose resnet18, or give a file")
    # Only here: torchvision takes seconds to import and most phases do not need it.
    from torchvision.models import ResNet18_Weights

    state: dict[str, Tensor] = ResNet18_Weights.DEFAULT.get_state_dict(progress=False, check_hash=True)
    return state
