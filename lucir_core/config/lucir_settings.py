"""What `lucir` may do beyond its paper: every switch off by default, each with its source.

The faithful presets leave all of them off. How much each one gains is measured one by one on validation images
(`lucir bench suite plus`).
"""

from dataclasses import dataclass, field

from lucir_core.config.validation import require


@dataclass(frozen=True)
class Boost:
    """A second backbone for the phase, and compression back to one (FOSTER: Wang et al., ECCV 2022)."""

    enabled: bool = False
    epochs: int = 170
    """Of the second backbone, beside the frozen one of the phase before; learning rate along half a cosine."""
    compression_epochs: int = 130
    """In which one backbone learns from both; without weight decay, as published."""
    temperature: float = 2.0
    """Of both distillations."""
    beta: float = 0.94
    """Sets how much more a class with few images weighs in boosting: by 1 / (1 - beta ** images)."""
    compression_beta: float = 0.97
    """The same for the teacher's probabilities in compression."""

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "lucir.boost.epochs", self.epochs, "1 or more (to leave it out: enabled = false)")
        require(self.compression_epochs >= 1, "lucir.boost.compression_epochs", self.compression_epochs, "1 or more")
        require(self.temperature > 0, "lucir.boost.temperature", self.temperature, "above 0")
        for name in ("beta", "compression_beta"):
            value = getattr(self, name)
            require(0 <= value < 1, f"lucir.boost.{name}", value, "from 0 to below 1")


@dataclass(frozen=True)
class BeyondPaper:
    """Switches of `lucir` that its paper does not have."""

    decorrelation: float = 0.0
    """Weight in phase 0 of the squared correlations between the features of a class (CwD: Shi et al., CVPR 2022)."""
    importance: float = 0.0
    """Weight of the distillation of feature maps, each channel by its importance for the old classes, times
    sqrt(all classes / new classes) (AFC: Kang, Park and Han, CVPR 2022); in compression too. Needs a ResNet for small
    images."""
    separated_softmax: bool = False
    """Cross-entropy of an old class over the old classes only, of a new one over the new only (CCIL: Mittal, Galesso
    and Brox, 2021; SS-IL: Ahn et al., ICCV 2021)."""
    boost: Boost = field(default_factory=Boost)
    """Takes the place of the phase's main training, with its less-forget and ranking terms."""

    def __post_init__(self) -> None:
        require(self.decorrelation >= 0, "lucir.decorrelation", self.decorrelation, "0 or more")
        require(self.importance >= 0, "lucir.importance", self.importance, "0 or more")
