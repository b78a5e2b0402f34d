"""Everything that can be chosen about a phase, in one frozen dataclass, and the presets that name good choices.

Defaults are LUCIR's official settings for CIFAR-100; a preset is a YAML file in `lucir_core/config/presets`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal, TypeVar

import yaml

from lucir_core.config.method_registry import HeadName, branches_of, default_head
from lucir_core.config.method_settings import BalancedFinetune, BeyondPaper
from lucir_core.config.milestones import with_milestones
from lucir_core.config.parsing import from_mapping, merged, nested
from lucir_core.config.refine_settings import Refine
from lucir_core.config.validation import require, require_known_values, require_milestones
from lucir_core.errors import ConfigError
from lucir_core.registry import nearest_names
from lucir_core.weights.timm_facts import is_timm, timm_values

Settings = TypeVar("Settings")

FROZEN_METHODS = ("analytic", "lucir")
"""Methods that learn a head alone, on the features of a frozen backbone; the first of them nothing else."""


@dataclass(frozen=True)
class Normalisation:
    """Statistics that images are normalised with, on the scale 0 to 1, per colour channel."""

    mean: tuple[float, float, float] = (0.5071, 0.4866, 0.4409)
    std: tuple[float, float, float] = (0.2009, 0.1984, 0.2023)
    """The official scripts' triple; the true standard deviation of CIFAR-100 is about (0.267, 0.256, 0.276)."""

    def __post_init__(self) -> None:
        require_known_values(self, "normalisation")
        if min(self.std) <= 0:
            raise ConfigError(f"normalisation.std is {self.std}: every value must be above 0")


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the training images, drawn afresh for every image and epoch."""

    crop_padding: int = 4
    """Pixels added on every side before a random crop of `size`; 0 with `resize` = `size` crops nothing."""
    padding: Literal["black", "edge"] = "black"
    """What those pixels show: `edge` repeats the image's border, as images on white or any other ground want it."""
    flip: bool = True
    """Mirror left-right with probability one half. Off where mirrored images mean something else (digits, text)."""
    brightness: float = 0.0
    """Factor drawn from 1 +- this. 63/255 is what DER, PyCIL and PODNet add; LUCIR does not."""
    random_resized_crop: tuple[float, float] | None = None
    """Range of the crop's share of the image's area, scaled to `size`; replaces the padded crop."""
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """Range of width over height of that crop."""
    offset: float = 0.0
    """Added to all pixels, drawn from +- this on the scale 0 to 255; 63 in EEIL."""
    contrast: float = 0.0
    """Factor on the distance from the image's mean, drawn from 1 +- this; 0.8 in EEIL. Every image gets the offset,
    the contrast or neither, each with the same probability."""
    strong: bool = False
    """Changes of random kind for every image, by `policy`."""
    policy: Literal["trivial", "auto"] = "trivial"
    """`trivial`: one change of any strength, TrivialAugment's (`data.augment_strong`), often a very strong one. `auto`:
    up to two milder ones in the pairs of AutoAugment's policy for CIFAR-10 (`data.augment_auto`)."""
    cutout: int = 0
    """Side of a grey square hole at a random place, in pixels; 0 for none."""

    def __post_init__(self) -> None:
        require_known_values(self, "augment")
        require(self.crop_padding >= 0, "augment.crop_padding", self.crop_padding, "0 or more")
        require(0 <= self.brightness < 1, "augment.brightness", self.brightness, "from 0 to below 1")
        require(0 <= self.offset <= 255, "augment.offset", self.offset, "from 0 to 255")
        require(0 <= self.contrast <= 1, "augment.contrast", self.contrast, "from 0 to 1")
        require(self.cutout >= 0, "augment.cutout", self.cutout, "0 or more")
        for name, limits in (("random_resized_crop", self.random_resized_crop), ("aspect", self.aspect)):
            if limits is not None:
                require(0 < limits[0] <= limits[1], f"augment.{name}", limits, "two rising positive numbers")
        if self.random_resized_crop is not None:
            require(self.random_resized_crop[1] <= 1, "augment.random_resized_crop", self.random_resized_crop, "<= 1")


@dataclass(frozen=True)
class PhaseConfig:
    """One learning phase, resolved. Raises ConfigError on construction when values are out of range or clash."""

    method: str = "lucir"
    """Name in the registry of methods."""
    network: str = "resnet32"
    """Name in the registry of backbones, or `timm:NAME` of a network of the package timm."""
    head: HeadName | None = None
    """Default: the one that the method declares; filled in on construction."""
    last_relu: bool | None = None
    """The backbone's last ReLU; default: left out before the cosine head, kept before the linear one."""
    weights: str | None = None
    """Starting weights of the backbone in phase 0: a local file (.safetensors, or a state dict), `imagenet` (an
    installed package, see `lucir_core.weights.pretrained`) or `torchvision`. A network of timm takes a file."""
    frozen: bool = False
    """Leave the backbone as it is and learn only the head, on features (`lucir_core.frozen`)."""
    size: int = 32
    """Side of the square image that the network sees, in pixels."""
    resize: int = 32
    """Side of the square images that are stored and trained from; at test time their centre `size` is seen."""
    normalisation: Normalisation = field(default_factory=Normalisation)

    epochs: int = 160
    initial_epochs: int | None = None
    """Epochs of phase 0, when they differ."""
    min_steps: int = 0
    """Least number of optimiser steps of a phase: the epochs (and milestones) of a small drop are stretched to it."""
    batch_size: int = 128
    lr: float = 0.1
    schedule: Literal["multistep", "cosine"] = "multistep"
    """`multistep`: times `gamma` once each of `milestones` epochs are finished; `cosine`: half a cosine down to 0."""
    milestones: tuple[int, ...] = (80, 120)
    initial_milestones: tuple[int, ...] | None = None
    """Milestones of phase 0; default: `milestones`, stretched as `initial_epochs` is against `epochs`."""
    gamma: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4

    less_forget: bool = True
    lambda_base: float = 5.0
    lambda_rule: Literal["old_over_new", "paper", "constant"] = "old_over_new"
    lambda_max: float | None = None
    """Cap on lambda; none in the benchmark presets, needed where one class joins a thousand."""
    score_mimic: bool = False
    """Distil the unscaled cosines of the old classes (the ablation "CN"); usually instead of `less_forget`."""
    freeze_old: bool = True
    """Keep the embeddings of old classes as they are during a phase."""
    ranking_weight: float = 1.0
    """Weight of the margin-ranking term; 0 leaves it out. 2 gives the printed equation (a sum over K = 2 rivals)."""
    ranking_against: Literal["new", "any"] = "new"
    top_k: int = 2
    """Rivals per exemplar; where a phase has fewer new classes, all of them."""
    margin: float = 0.5
    imprint: bool = True
    """Start new embeddings at the mean normalised feature of their class."""
    cbf: BalancedFinetune = field(default_factory=BalancedFinetune)

    settings: tuple[Any, ...] = ()
    """Settings of single methods, one dataclass each (see `settings_of`); missing ones are filled in on construction.
    In YAML, in overrides and in `to_dict` they stand as branches of their own: `der.warmup_epochs`."""
    align_weights: bool = False
    """After a phase, scale a linear head's new rows to the mean norm of the old ones (weight alignment, "WA")."""

    exemplars_per_class: int | None = 20
    memory_total: int | None = None
    """Exemplars of all classes together; give this or `exemplars_per_class`."""
    memory_rounding: Literal["floor", "ceil"] = "floor"
    """How `memory_total` is divided; `ceil`, as the official scripts do, may exceed it."""
    replay: bool | None = None
    """Train on the exemplars of earlier phases; default: as the method does. `false` is refused where a stage needs
    them: bic's correction, eeil's and lucir's balanced fine-tunes, der's classifier stage."""
    herding: Literal["greedy", "official"] = "greedy"
    """`official` may pick an image again and gives up after 1000 tries, as the published code does."""
    herding_limit: int | None = None
    """Most picks per class, whatever the memory (500 in the official ImageNet scripts)."""
    nme_flip: Literal["horizontal", "none", "channel_reverse"] = "horizontal"
    """Second view averaged into the prototypes; `channel_reverse` is the bug of the official CIFAR script."""
    nme_transport: float = 0.0
    """Share in every prototype of the mean over all images of its class, carried along from phase to phase
    (`lucir_core.memory.transport`); the rest is the mean of its exemplars."""
    augment: Augmentation = field(default_factory=Augmentation)
    refine: Refine = field(default_factory=Refine)
    """With `frozen`: how the backbone's last stages are refined once the head is served (`lucir_core.refine`)."""

    def __post_init__(self) -> None:
        if self.head is None:
            object.__setattr__(self, "head", default_head(self.method))
        require_known_values(self)
        self._fill_settings()
        self._check_training()
        self._check_method()

    def _fill_settings(self) -> None:
        branches = branches_of(self.method)
        kinds = tuple(branches.values())
        given = {type(item): item for item in self.settings}
        strange = [kind.__name__ for kind in given if kind not in kinds]
        if strange or len(given) < len(self.settings):
            raise ConfigError(
                f"settings of method {self.method!r} hold {', '.join(strange) or 'one kind twice'}: give at most one "
                f"each of {', '.join(kind.__name__ for kind in kinds)}"
            )
        object.__setattr__(self, "settings", tuple(given[kind] if kind in given else kind() for kind in kinds))
        # Those of a method of one's own need not check themselves.
        for branch, item in zip(branches, self.settings, strict=True):
            require_known_values(item, branch)

    def _check_training(self) -> None:
        require(self.size >= 8, "size", self.size, "8 or more")
        require(self.resize >= self.size, "resize", self.resize, f"at least size = {self.size}")
        for name in ("epochs", "batch_size"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        if self.initial_epochs is not None:
            require(self.initial_epochs >= 1, "initial_epochs", self.initial_epochs, "1 or more")
        require(self.min_steps >= 0, "min_steps", self.min_steps, "0 or more")
        require(self.lr > 0, "lr", self.lr, "above 0")
        require(0 < self.gamma <= 1, "gamma", self.gamma, "above 0, at most 1")
        require(0 <= self.momentum < 1, "momentum", self.momentum, "from 0 to below 1")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        require_milestones("milestones", self.milestones)
        require_milestones("initial_milestones", self.initial_milestones or ())

    def _check_method(self) -> None:
        require(self.lambda_base >= 0, "lambda_base", self.lambda_base, "0 or more")
        require(self.lambda_max is None or self.lambda_max >= 0, "lambda_max", self.lambda_max, "0 or more, or null")
        require(self.ranking_weight >= 0, "ranking_weight", self.ranking_weight, "0 or more")
        require(self.top_k >= 1, "top_k", self.top_k, "1 or more")
        require(0 <= self.nme_transport <= 1, "nme_transport", self.nme_transport, "from 0 to 1")
        require(0 <= self.margin <= 2, "margin", self.margin, "from 0 to 2, the range of a cosine difference")
        self._check_frozen()
        if self.align_weights and self.head != "linear":
            raise ConfigError("align_weights scales the rows of a linear head: set head = linear, or leave it out")
        if (self.exemplars_per_class is None) == (self.memory_total is None):
            raise ConfigError("give either exemplars_per_class or memory_total, and set the other to null")
        for name in ("exemplars_per_class", "memory_total", "herding_limit"):
            value = getattr(self, name)
            require(value is None or value >= 1, name, value, "1 or more, or null")

    def _check_frozen(self) -> None:
        analytic = self.method == "analytic"
        if (self.head == "analytic") != analytic or (analytic and not self.frozen):
            raise ConfigError(
                f"method = {self.method} with frozen = {self.frozen}, head = {self.head}: the method analytic, its "
                "head and frozen = true go together"
            )
        if not self.frozen:
            return
        if self.method not in FROZEN_METHODS:
            raise ConfigError(
                f"method = {self.method} trains the backbone: with frozen = true choose {' or '.join(FROZEN_METHODS)}"
            )
        if self.head == "linear" or not self.imprint:
            raise ConfigError(
                f"head = {self.head}, imprint = {self.imprint}: lucir on a frozen backbone has the cosine head and "
                "starts imprinted"
            )
        if self.nme_transport or any(isinstance(item, BeyondPaper) and item != BeyondPaper() for item in self.settings):
            raise ConfigError("nme_transport and the branch lucir are for a backbone that is trained, not a frozen one")
        if self.size % 32 and not is_timm(self.network):
            raise ConfigError(f"size is {self.size}: a frozen backbone wants a multiple of 32")

    def settings_of(self, kind: type[Settings]) -> Settings:
        """The settings of class `kind`; raises ConfigError where configs of this method have none."""
        for item in self.settings:
            if isinstance(item, kind):
                return item
        raise ConfigError(f"a config of method {self.method!r} has no {kind.__name__}: choose the method that has")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in a YAML or JSON file; `config_from_dict` reads them back."""
        values = dataclasses.asdict(self)
        branches = zip(branches_of(self.method), values.pop("settings"), strict=True)
        return _plain({**values, **dict(branches)})  # type: ignore[no-any-return]  # a mapping gives a dict


def config_from_dict(values: Mapping[str, Any]) -> PhaseConfig:
    """The config that `PhaseConfig.to_dict` wrote; raises ConfigError on unknown keys and wrong types.

    The module of a method with settings of its own must have been imported before.
    """
    return from_mapping(PhaseConfig, values, branches=branches_of(str(values.get("method", PhaseConfig.method))))


@cache
def preset_names() -> tuple[str, ...]:
    """All presets of the package, sorted."""
    folder = resources.files("lucir_core.config") / "presets"
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def load_preset(name: str, overrides: Mapping[str, Any] | None = None) -> PhaseConfig:
    """A preset with single values changed: `{"epochs": 40, "augment.flip": False}` or nested mappings.

    Milestones follow the epochs where the overrides do not name them: with 40 of 160 epochs the rate falls after 20 and
    30, where the preset says 80 and 120; so do those of phase 0, of the fine-tunes and of der's classifier stage.
    Choosing `memory_total` or `exemplars_per_class` in the overrides unsets the other. A network `timm:NAME` brings its
    size and normalisation along, which further overrides may change; the preset's weights are not its own.
    """
    if name not in preset_names():
        raise ConfigError(f"unknown preset {name!r}: {nearest_names(name, preset_names())}")
    changes = nested(overrides or {})
    for chosen, other in (("memory_total", "exemplars_per_class"), ("exemplars_per_class", "memory_total")):
        if changes.get(chosen) is not None:
            changes.setdefault(other, None)
    network = str(changes.get("network", ""))
    values = timm_values(network) if is_timm(network) else {}
    preset = merged(_preset_values(name), values)
    return config_from_dict(merged(preset, with_milestones(preset, changes, _defaults())))


@cache
def _defaults() -> Mapping[str, Any]:
    return PhaseConfig().to_dict()


@cache
def _preset_values(name: str) -> Mapping[str, Any]:
    """As the file of the package says: an updater asks at every look for work, and parsing takes milliseconds."""
    text = (resources.files("lucir_core.config") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    values: Mapping[str, Any] = yaml.safe_load(text)
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
