"""Others' names for the tensors of our networks, so that a file of weights loads whoever wrote it.

By name and never by order: a safetensors file keeps no order, and two tensors of one shape could be exchanged.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

WRAPPINGS = ("module.", "model.backbone.", "backbone.")
"""Before the names: of a model trained in parallel, and in the checkpoints of this library."""
_PACKAGE = {  # efficientnet_pytorch and what was made from it
    "outside": {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "last.conv", "_bn1": "last.norm"},
    "block": {
        "_expand_conv": "widen.conv",
        "_bn0": "widen.norm",
        "_depthwise_conv": "filter.conv",
        "_bn1": "filter.norm",
        "_project_conv": "narrow.conv",
        "_bn2": "narrow.norm",
    },
}
_TIMM = {
    "outside": {"conv_stem": "stem.conv", "bn1": "stem.norm", "conv_head": "last.conv", "bn2": "last.norm"},
    "block": {
        "conv_pw": "widen.conv",
        "bn1": "widen.norm",
        "conv_dw": "filter.conv",
        "bn2": "filter.norm",
        "conv_pwl": "narrow.conv",
        "bn3": "narrow.norm",
    },
    "first": {"conv_dw": "filter.conv", "bn1": "filter.norm", "conv_pw": "narrow.conv", "bn2": "narrow.norm"},
}


def own_names(state: Mapping[str, T], wanted: Iterable[str]) -> dict[str, T]:
    """The tensors of a file under the names of a network, as far as one reading of its names fits best.

    wanted: the network's own names. What no reading knows keeps its name.
    """
    names = frozenset(wanted)
    plain = _unwrapped(state)
    readings: Sequence[Callable[[Sequence[str]], dict[str, str]]] = (_as_they_are, _in_body, _package, _timm)
    best = max((reading(tuple(plain)) for reading in readings), key=lambda read: len(names & set(read.values())))
    return {best[name]: value for name, value in plain.items()}


def _unwrapped(state: Mapping[str, T]) -> dict[str, T]:
    """Without what stands before all names; of a checkpoint with a head beside its backbone only the backbone."""
    for prefix in WRAPPINGS:
        inner = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if inner:
            return inner
    return dict(state)


def _as_they_are(names: Sequence[str]) -> dict[str, str]:
    return {name: name for name in names}


def _in_body(names: Sequence[str]) -> dict[str, str]:
    """A network of timm, which lies in `body` here."""
    return {name: f"body.{name}" for name in names}


def _package(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        block = re.match(r"_blocks\.(\d+)\.", name)
        rest = name[block.end() :] if block else name
        layer, _, tensor = rest.partition(".")
        own = _PACKAGE["block" if block else "outside"].get(layer)
        before = f"blocks.{block[1]}." if block else ""
        found[name] = f"{before}{own}.{tensor}" if own else name
    return found


def _timm(names: Sequence[str]) -> dict[str, str]:
    """timm counts blocks within their stages, and its first stage has no widening convolution."""
    block = re.compile(r"blocks\.(\d+)\.(\d+)\.")
    matches = {name: match for name in names if (match := block.match(name))}
    places = sorted({(int(match[1]), int(match[2])) for match in matches.values()})
    widened = {(int(match[1]), int(match[2])) for name, match in matches.items() if ".conv_pwl." in name}
    found = {}
    for name in names:
        if (match := matches.get(name)) is None:
            kind, before, rest = "outside", "", name
        else:
            place = int(match[1]), int(match[2])
            kind = "block" if place in widened else "first"
            before, rest = f"blocks.{places.index(place)}.", name[match.end() :]
        layer, _, tensor = rest.partition(".")
        own = _TIMM[kind].get(layer)
        found[name] = f"{before}{own}.{tensor}" if own else name
    return found
