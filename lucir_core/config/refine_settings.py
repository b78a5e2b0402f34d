"""How the last stages of a backbone that stays as it is are refined afterwards: see `lucir_core.refine`."""

from dataclasses import dataclass

from lucir_core.config.validation import require, require_known_values


@dataclass(frozen=True)
class Refine:
    """Of a preset with `frozen = true`."""

    stages: int = 1
    """The last so many stages of the backbone are trained; the stem and the others never are. On photographs two found
    no more than one, in three times the time (`benchmarks/photos`)."""
    views: int = 3
    """Of each image: the one that test time sees, and random ones (`augment`). The maps before the trained stages are
    computed once for each."""
    steps: int = 300
    """Optimiser steps, as whole epochs over all views, at least one."""
    balanced_steps: int = 60
    """The same of the balanced fine-tune that follows, with a tenth of the learning rate; 0 leaves it out."""
    batch_size: int = 32
    lr: float = 0.01
    validation_share: float = 0.25
    """Of the images, never learnt from: they decide whether the refined backbone is better."""

    def __post_init__(self) -> None:
        require_known_values(self, "refine")
        for name in ("stages", "views", "steps", "batch_size"):
            require(getattr(self, name) >= 1, f"refine.{name}", getattr(self, name), "1 or more")
        require(self.balanced_steps >= 0, "refine.balanced_steps", self.balanced_steps, "0 or more")
        require(self.lr > 0, "refine.lr", self.lr, "above 0")
        share = self.validation_share
        require(0 < share < 1, "refine.validation_share", share, "above 0 and below 1")
