"""What the library's own methods declare: their default heads, and their settings as small dataclasses.

They stand here and not beside the methods because the updater reads presets without importing torch (three seconds and
600 MB). A method of your own declares both in its own file (`lucir_core.examples.own_method`).
"""

from dataclasses import dataclass, field
from typing import Literal

from lucir_core.config.method_registry import declare_method, shared_settings
from lucir_core.config.validation import require, require_known_values, require_milestones


@dataclass(frozen=True)
class BalancedFinetune:
    """LUCIR's class-balanced fine-tune ("CBF"): after the phase, on the exemplars of all classes alone."""

    enabled: bool = False
    epochs: int = 20
    lr: float = 0.01
    milestones: tuple[int, ...] = (10,)
    train: Literal["embeddings", "new_embeddings", "everything"] = "embeddings"
    """What moves; eta never does, as in the official code. In the first two the backbone is fixed in eval mode."""
    ranking: bool = True
    """Keep the margin-ranking term."""

    def __post_init__(self) -> None:
        require_known_values(self, "cbf")
        require(self.epochs >= 1, "cbf.epochs", self.epochs, "1 or more (to leave it out: cbf.enabled = false)")
        require(self.lr > 0, "cbf.lr", self.lr, "above 0")
        require_milestones("cbf.milestones", self.milestones)


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
        require_known_values(self, "lucir.boost")
        require(self.epochs >= 1, "lucir.boost.epochs", self.epochs, "1 or more (to leave it out: enabled = false)")
        require(self.compression_epochs >= 1, "lucir.boost.compression_epochs", self.compression_epochs, "1 or more")
        require(self.temperature > 0, "lucir.boost.temperature", self.temperature, "above 0")
        for name in ("beta", "compression_beta"):
            value = getattr(self, name)
            require(0 <= value < 1, f"lucir.boost.{name}", value, "from 0 to below 1")


@dataclass(frozen=True)
class BeyondPaper:
    """What `lucir` may do beyond its paper, each with its source; off by default, as in the faithful presets.

    How much each one gains is measured one by one on validation images (`lucir bench suite plus`).
    """

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
        require_known_values(self, "lucir")
        require(self.decorrelation >= 0, "lucir.decorrelation", self.decorrelation, "0 or more")
        require(self.importance >= 0, "lucir.importance", self.importance, "0 or more")


@shared_settings("distillation")
@dataclass(frozen=True)
class Distillation:
    """How icarl, lwf, eeil and bic hold the old classes' logits to the teacher's."""

    temperature: float = 2.0
    weight: float = 1.0
    """Of the divergence in icarl, lwf and eeil (3 in the variant `lwf_task`); bic weighs by numbers of classes."""
    cross_entropy: Literal["all", "new"] = "all"
    """Classes that icarl's and lwf's cross-entropy runs over; `new` (`lwf_task`) leaves the old ones to the teacher."""

    def __post_init__(self) -> None:
        require_known_values(self, "distillation")
        require(self.temperature > 0, "distillation.temperature", self.temperature, "above 0")
        require(self.weight >= 0, "distillation.weight", self.weight, "0 or more")


@shared_settings("icarl_original")
@dataclass(frozen=True)
class IcarlOriginal:
    """The sigmoid loss of iCaRL's own code."""

    outputs: int = 100
    """Outputs that the loss is a mean over: the width of the published fixed head, whatever the classes so far."""

    def __post_init__(self) -> None:
        require_known_values(self, "icarl_original")
        require(self.outputs >= 1, "icarl_original.outputs", self.outputs, "1 or more")


@shared_settings("eeil")
@dataclass(frozen=True)
class Eeil:
    """End-to-end incremental learning: its views, its balanced fine-tune, its noise."""

    views: int = 1
    """Random views of every image per epoch; the published code makes 12 copies of each before training."""
    finetune_epochs: int = 30
    finetune_lr: float = 0.01
    finetune_milestones: tuple[int, ...] = (10, 20)
    gradient_noise: float = 0.0
    """Standard deviation of noise on the gradient summed over a batch, times (1 + epoch) ** -0.55 with the
    epoch from 1; 0.3 as published."""

    def __post_init__(self) -> None:
        require_known_values(self, "eeil")
        require(self.views >= 1, "eeil.views", self.views, "1 or more")
        require(self.finetune_epochs >= 1, "eeil.finetune_epochs", self.finetune_epochs, "1 or more")
        require(self.finetune_lr > 0, "eeil.finetune_lr", self.finetune_lr, "above 0")
        require_milestones("eeil.finetune_milestones", self.finetune_milestones)
        require(self.gradient_noise >= 0, "eeil.gradient_noise", self.gradient_noise, "0 or more")


@shared_settings("bic")
@dataclass(frozen=True)
class Bic:
    """Bias correction: what the two scalars are fitted on."""

    validation_share: float = 0.1
    """Share of every old class's exemplars that is held out; of every new class as many images."""
    offset_penalty: float = 0.1
    """Weight of half the square of the offset."""

    def __post_init__(self) -> None:
        require_known_values(self, "bic")
        share = self.validation_share
        require(0 < share < 1, "bic.validation_share", share, "above 0 and below 1")
        require(self.offset_penalty >= 0, "bic.offset_penalty", self.offset_penalty, "0 or more")


@shared_settings("der")
@dataclass(frozen=True)
class Der:
    """Dynamically expandable representation: warm-up, auxiliary head, classifier stage, and how far it may grow."""

    warmup_epochs: int = 10
    """Of `epochs`, in phases after the first: the learning rate rises to `lr`, then both heads are re-initialised."""
    auxiliary_weight: float = 1.0
    classifier_epochs: int = 30
    classifier_lr: float = 0.1
    classifier_milestones: tuple[int, ...] = (15,)
    temperature: float = 5.0
    """Divides the logits in the classifier stage; 1 in the ImageNet settings."""
    max_backbones: int | None = None
    """Most feature extractors, one per phase with new classes; the phase that needs one more is refused."""
    masks: bool = False
    """Experimental: learn which channels inside the newest backbone's blocks may go (`lucir_core.models.gates`)."""
    mask_sharpness: float = 10.0
    """How sharp the masks get within an epoch, s_max in the paper."""
    sparsity_weight: float = 0.5
    """Of the share of computations that the masks leave. The published weights are not known to us."""

    def __post_init__(self) -> None:
        require_known_values(self, "der")
        require(self.warmup_epochs >= 0, "der.warmup_epochs", self.warmup_epochs, "0 or more")
        require(self.auxiliary_weight >= 0, "der.auxiliary_weight", self.auxiliary_weight, "0 or more")
        require(self.classifier_epochs >= 1, "der.classifier_epochs", self.classifier_epochs, "1 or more")
        require(self.classifier_lr > 0, "der.classifier_lr", self.classifier_lr, "above 0")
        require_milestones("der.classifier_milestones", self.classifier_milestones)
        require(self.temperature > 0, "der.temperature", self.temperature, "above 0")
        require(self.mask_sharpness >= 1, "der.mask_sharpness", self.mask_sharpness, "1 or more")
        require(self.sparsity_weight >= 0, "der.sparsity_weight", self.sparsity_weight, "0 or more")
        cap = self.max_backbones
        require(cap is None or cap >= 1, "der.max_backbones", cap, "1 or more, or null")


@dataclass(frozen=True)
class Analytic:
    """Ridge regression on the features of a frozen backbone."""

    expansion: int = 0
    """Random projections that take the place of the features (RanPAC, NeurIPS 2023); 0: the features themselves."""

    def __post_init__(self) -> None:
        require_known_values(self, "analytic")
        size = self.expansion
        require(0 <= size <= 10_000, "analytic.expansion", size, "0 (no expansion) to 10000, for instance 2048")


# Computed, not trained: `lucir_core.frozen` has no method class.
declare_method("analytic", head="analytic", settings=Analytic)
declare_method("lucir", head="cosine", settings=BeyondPaper)
for _method in ("finetune", "joint"):
    declare_method(_method, head="cosine")
for _method in ("icarl", "icarl_original", "lwf", "eeil", "bic", "der"):
    declare_method(_method, head="linear")
