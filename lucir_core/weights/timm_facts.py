"""What the package timm says of its networks, chosen as `timm:NAME`: input size, normalisation, classifier."""

import difflib
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from lucir_core.errors import ConfigError

PREFIX = "timm:"


@dataclass(frozen=True)
class TimmFacts:
    """Of one network."""

    size: int
    """Side of the square images that it was trained with, in pixels."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """Of the normalisation, on the scale 0 to 1."""
    classifier: tuple[str, ...]
    """Names of the modules of its classifier."""


def is_timm(network: str) -> bool:
    """Whether a network's name means one of timm's."""
    return network.startswith(PREFIX)


@cache
def timm_facts(network: str) -> TimmFacts:
    """Raises ConfigError where timm is missing, does not know the network, or does not say what it is made for."""
    timm, name = timm_package(), network.removeprefix(PREFIX)
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f": did you mean {' or '.join(close)}?" if close else ""
        raise ConfigError(f"timm {timm.__version__} has no network {name!r}{hint}")
    described = timm.get_pretrained_cfg(name)
    channels, *sides = described.input_size if described is not None else (0,)
    if channels != 3 or len(set(sides)) != 1:
        raise ConfigError(f"timm does not say that {name} is made for square colour images: choose another network")
    named = described.classifier or ()
    return TimmFacts(
        size=int(sides[0]),
        mean=cast(tuple[float, float, float], tuple(described.mean)),
        std=cast(tuple[float, float, float], tuple(described.std)),
        classifier=(named,) if isinstance(named, str) else tuple(named),
    )


def timm_values(network: str) -> dict[str, Any]:
    """What a preset takes over from timm, as a mapping of the configuration; weights have to be given beside it.

    The network sees the whole central square at the size that it was trained with. Raises ConfigError as `timm_facts`.
    """
    facts = timm_facts(network)
    normalisation = {"mean": list(facts.mean), "std": list(facts.std)}
    return {"size": facts.size, "resize": facts.size, "normalisation": normalisation, "weights": None}


def timm_package() -> Any:
    """The package. Raises ConfigError where it is not installed."""
    if find_spec("timm") is None:
        raise ConfigError("networks timm:NAME need the package timm: pip install 'lucir[timm]'")
    return import_module("timm")  # not at the top: it brings torch along, and few choose such a network
