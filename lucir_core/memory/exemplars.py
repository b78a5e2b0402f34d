"""The exemplar memory: how many images of each class are kept, and which."""

from collections.abc import Callable

import numpy as np

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.errors import ConfigError
from lucir_core.memory.herding import herd


def exemplars_per_class(config: PhaseConfig, class_count: int) -> int:
    """The budget of each class once `class_count` classes are known."""
    if config.exemplars_per_class is not None:
        budget = config.exemplars_per_class
    else:
        total = config.memory_total or 0
        if total < class_count:
            raise ConfigError(
                f"memory_total is {total} for {class_count} classes: give at least one exemplar per class"
            )
        budget = -(-total // class_count) if config.memory_rounding == "ceil" else total // class_count
    return budget if config.herding_limit is None else min(budget, config.herding_limit)


def choose_exemplars(
    config: PhaseConfig,
    labels: np.ndarray,
    kept: np.ndarray,
    class_count: int,
    features_of: Callable[[np.ndarray], np.ndarray],
    budget: int | None = None,
) -> np.ndarray:
    """Positions of the exemplars after a phase: classes ascending, herding order within each.

    labels: (n,) of all images at hand; kept: (n,) bool, True for those that were exemplars before, which stand in
    their old herding order. A class with images beyond its old exemplars (new, or known with new images) is herded
    from all its images with `features_of(positions)`; any other class only loses the tail of its list.
    budget: of each class; default: what the memory allows for `class_count` classes.
    """
    if budget is None:
        budget = exemplars_per_class(config, class_count)
    chosen: list[np.ndarray] = []
    for label in range(class_count):
        mine = np.flatnonzero(labels == label)
        if kept[mine].all():
            chosen.append(mine[:budget])
        else:
            chosen.append(mine[herd(features_of(mine), budget, config.herding)])
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
