"""Starting weights of a backbone, from a local file or from torchvision. Nothing is ever unpickled."""

import logging
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lucir_core.errors import ConfigError
from lucir_core.weights.foreign_names import own_names
from lucir_core.weights.pretrained import imagenet_state, not_a_file
from lucir_core.weights.timm_facts import is_timm, timm_facts

logger = logging.getLogger(__name__)


def load_weights(backbone: nn.Module, network: str, source: str) -> None:
    """Fill `backbone` from a file (.safetensors, or a torch state dict) or from a named source.

    `imagenet`: an installed package (see `lucir_core.weights.pretrained`); `torchvision`: its zoo. Tensors may have the
    names of this library, of timm or of the package (`lucir_core.weights.foreign_names`); a checkpoint of this library
    is such a file too. A classifier in the file is left out; anything else missing or too much, and numbers that are
    not finite, raise ConfigError.
    """
    if source == "imagenet":
        state = imagenet_state(network)
    else:
        state = _torchvision_state(network) if source == "torchvision" else _file_state(Path(source))
    present = backbone.state_dict()
    classifier = _classifier(network)
    state = {name: value for name, value in own_names(state, present).items() if not name.startswith(classifier)}
    # Older files have no batch counters; they play no part in the result.
    counters = {name: value for name, value in present.items() if name.endswith("num_batches_tracked")}
    try:
        backbone.load_state_dict(counters | state)
    except RuntimeError as error:
        misfit = _misfit(present, counters | state)
        advice = "choose the network that they were made with"
        raise ConfigError(f"the weights in {source} do not fit the network {network}: {misfit}; {advice}") from error
    if broken := [name for name, value in state.items() if not bool(torch.isfinite(value).all())]:
        raise ConfigError(
            f"the weights in {source} are damaged: {broken[0]} holds numbers that are not finite; get the file again"
        )
    logger.info("starting weights loaded", extra={"network": network, "source": source})


def _classifier(network: str) -> tuple[str, ...]:
    """What the names of a classifier's tensors begin with."""
    if is_timm(network):
        return tuple(f"body.{name}." for name in timm_facts(network).classifier)
    return ("fc.", "_fc.", "classifier.")


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
        raise ConfigError(not_a_file(str(path)))
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
    state = loaded
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
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
