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
        misfit = _misfit(present, counters | state)
        advice = "choose the network that they were made with"
        raise ConfigError(f"the weights in {source} do not fit the network {network}: {misfit}; {advice}") from error
    logger.info("starting weights loaded", extra={"network": network, "source": source})


def _misfit(present: dict[str, Tensor], given: dict[str, Tensor]) -> str:
    """What is missing, too much or of another shape, each with an example."""
    missing, strange = sorted(present.keys() - given.keys()), sorted(given.keys() - present.keys())
    other = [name for name in sorted(present.keys() & given.keys()) if present[name].shape != given[name].shape]
    parts = [
        f"{len(names)} of {len(present)} tensors {what} (for instance {names[0]})"
        for names, what in ((missing, "are missing"), (strange, "are not the network's"), (other, "have another shape"))
        if names
    ]
    return ", ".join(parts)


def _file_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ConfigError(
            f"weights {str(path)!r} is not a file: give a .safetensors or state-dict file, imagenet or torchvision"
        )
    try:
        loaded = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except OSError:
        raise  # the disk's fault, not the file's
    except Exception as error:  # a damaged file fails in a dozen ways: no common class below this one
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{path} is not a file of weights, or it is damaged ({reason}): give a whole .safetensors file, or what "
            "torch.save wrote of model.state_dict()"
        ) from error
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
