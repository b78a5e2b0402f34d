"""Milestones follow the epochs: a training of half the length lowers its learning rate after half as many epochs."""

import math
from collections.abc import Mapping
from typing import Any

from lucir_core.config.parsing import merged, nested

FOLLOWING = {
    "milestones": "epochs",
    "initial_milestones": "initial_epochs",
    "cbf.milestones": "cbf.epochs",
    "eeil.finetune_milestones": "eeil.finetune_epochs",
    "der.classifier_milestones": "der.classifier_epochs",
}
OF_SCHEDULE = ("milestones", "initial_milestones")
"""Those that a cosine schedule does not look at."""


def stretched(milestones: tuple[int, ...], factor: float) -> tuple[int, ...]:
    """Each at `factor` times its epoch, as a whole number from 1 on."""
    return tuple(max(1, round(milestone * factor)) for milestone in milestones)


def with_milestones(
    preset: Mapping[str, Any], changes: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Mapping[str, Any]:
    """`changes` of a preset's values, with the milestones that their epochs ask for; all three are nested.

    Milestones that `changes` name are left alone. Others keep their share of the epochs that they were written for:
    the preset's, or those of `defaults` where the preset names none. Where phase 0 is given no epochs of its own, it
    has no milestones of its own either.
    """
    everything = merged(merged(defaults, preset), changes)
    added: dict[str, Any] = {}
    for name, counted in FOLLOWING.items():
        if _names(changes, name) or (name in OF_SCHEDULE and everything["schedule"] == "cosine"):
            continue
        source = preset if _names(preset, name) else defaults
        milestones, written_for, epochs = _at(source, name), _at(source, counted), _at(everything, counted)
        if not milestones or epochs == written_for:
            continue
        if epochs is None and counted == "initial_epochs":
            added[name] = None
        elif _counts(epochs) and _counts(written_for):
            added[name] = sorted(set(stretched(tuple(milestones), epochs / written_for)))
    return merged(changes, nested(added))


def _at(values: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name; None where it is missing."""
    branch, _, rest = name.partition(".")
    value = values.get(branch)
    if not rest:
        return value
    return value.get(rest) if isinstance(value, Mapping) else None


def _names(values: Mapping[str, Any], name: str) -> bool:
    """Whether a dotted name is there, be it with the value null, which says something about `initial_milestones`."""
    branch, _, rest = name.partition(".")
    inside = values.get(branch) if rest else values
    return isinstance(inside, Mapping) and (rest or branch) in inside


def _counts(value: Any) -> bool:
    """Whether it is a number of epochs; what is none is refused where it is read."""
    return isinstance(value, (int, float)) and math.isfinite(value) and value >= 1
