"""A backbone with its growing head, and normalisation of the images in front."""

import copy
from typing import NamedTuple, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from lucir_core.config.method_settings import Analytic
from lucir_core.config.phase_config import Normalisation, PhaseConfig
from lucir_core.errors import ConfigError
from lucir_core.models import create_backbone
from lucir_core.models.branched import BranchedBackbone
from lucir_core.models.folding import folded
from lucir_core.models.fused.low_weights import convert_convolutions, convolved_in
from lucir_core.models.fused.switch import fuse, kernels_run
from lucir_core.models.heads import HEADS, AnalyticHead, Head
from lucir_core.runtime.acceleration import AUTO, Acceleration
from lucir_core.runtime.distributed import gathered


class Output(NamedTuple):
    """features (batch, dim) before the head, not normalised; logits and unscaled cosines (batch, classes)."""

    features: Tensor
    logits: Tensor
    cosines: Tensor


@runtime_checkable
class Staged(Protocol):
    """A backbone that shows its maps on the way; its features are the means of the last ones."""

    def stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """x: (batch, 3, height, width), normalised; the maps (batch, channels, height, width) after each stage."""
        ...


class IncrementalModel(nn.Module):
    """Images to features to scores. Features are returned, never kept in hooks or globals."""

    def __init__(self, backbone: nn.Module, head: Head, normalisation: Normalisation | None) -> None:
        """normalisation: None where the backbone is the last part of one (`lucir_core.refine`), which is given maps."""
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.auxiliary: nn.Module | None = None
        """A second head that a method may train beside the first; gone before the phase ends."""
        neutral = ((0.0,), (1.0 / 255.0,))
        values = neutral if normalisation is None else (normalisation.mean, normalisation.std)
        mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in values)
        # One multiply-add on the scale 0 to 255. Rebuilt from the config, so not part of the state dict.
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", 1.0 / (255.0 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)
        self.backbone_type: torch.dtype | None = None
        """A type that the backbone computes in while it is trained, or as a teacher; None for float32."""
        self.converts_together = False
        """Convert the weights of all convolutions to that type in one go."""
        self.frozen = False

    @property
    def class_count(self) -> int:
        """Classes that the head tells apart."""
        return self.head.class_count

    @property
    def feature_dim(self) -> int:
        """Length of a feature."""
        return cast(int, self.backbone.feature_dim)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.head.old.device

    def features(self, images: Tensor) -> Tensor:
        """images: (batch, 3, size, size) on the scale 0 to 255, any dtype; features: (batch, dim)."""
        normalised = images.float() * self.scale + self.shift
        if not (self.training or self.frozen):
            # Not the compiled one, where there is one: it is made for the batches of training.
            return gathered(cast(Tensor, self.backbone.forward(normalised)))
        if self.backbone_type is None:
            return gathered(cast(Tensor, self.backbone(normalised)))
        # No cache of converted weights: every weight is used once, and a CUDA graph must convert them each time.
        with torch.autocast(normalised.device.type, self.backbone_type, cache_enabled=False):
            if self.converts_together:
                features = convolved_in(self.backbone_type, self.backbone, normalised)
            else:
                features = cast(Tensor, self.backbone(normalised))
        return gathered(features.float())

    def forward(self, images: Tensor) -> Output:
        """images: (batch, 3, size, size) on the scale 0 to 255, any dtype."""
        return self._scored(self.features(images))

    def staged(self, images: Tensor) -> tuple[Output, tuple[Tensor, ...]]:
        """As `forward`, and the maps after each stage; raises ConfigError for a backbone without stages."""
        if not isinstance(self.backbone, Staged):
            raise ConfigError("this backbone does not show its stages: choose a ResNet for small images (resnet32)")
        normalised = images.float() * self.scale + self.shift
        kind = self.backbone_type if self.training or self.frozen else None
        with torch.autocast(normalised.device.type, kind, enabled=kind is not None, cache_enabled=False):
            maps = tuple(gathered(part) for part in self.backbone.stages(normalised))
        return self._scored(maps[-1].float().mean(dim=(2, 3))), maps

    def _scored(self, features: Tensor) -> Output:
        scores = self.head(features)
        return Output(features, scores.logits, scores.cosines)


def create_model(config: PhaseConfig, seed: int) -> IncrementalModel:
    """A model without classes, as phase 0 begins; its weights depend on `config` and `seed` alone."""
    backbone = create_backbone(config.network, last_relu=_last_relu(config), seed=seed, weights=config.weights)
    return IncrementalModel(backbone, _head(config, backbone), config.normalisation)


def empty_model(config: PhaseConfig, old_count: int, new_count: int, branches: int | None = None) -> IncrementalModel:
    """A model of the right shape to load saved weights into; `branches`: how many, where the backbone has branches."""
    made = [create_backbone(config.network, last_relu=_last_relu(config)) for _ in range(branches or 1)]
    backbone = made[0] if branches is None else BranchedBackbone(made)
    return IncrementalModel(backbone, _head(config, backbone, old_count, new_count), config.normalisation)


def _head(config: PhaseConfig, backbone: nn.Module, old_count: int = 0, new_count: int = 0) -> Head:
    dim = cast(int, backbone.feature_dim)
    if config.head == "analytic":
        return AnalyticHead(dim, old_count, new_count, config.settings_of(Analytic).expansion)
    return HEADS[config.head or "cosine"](dim, old_count, new_count)


def _last_relu(config: PhaseConfig) -> bool:
    return config.head == "linear" if config.last_relu is None else config.last_relu


def frozen_copy(model: IncrementalModel) -> IncrementalModel:
    """A deep copy in eval mode that takes no gradients: the teacher."""
    teacher = copy.deepcopy(model).eval()
    return teacher.requires_grad_(False)


def teacher_of(model: IncrementalModel, device: str, acceleration: Acceleration = AUTO) -> IncrementalModel:
    """A frozen copy of `model` on `device`, made to compute fast; its parameters are not those of `model` any more."""
    teacher = frozen_copy(model)
    teacher.frozen = True
    if acceleration.folded_teacher and not _fuses(torch.device(device), acceleration):
        teacher.backbone = folded(teacher.backbone)
    return place(teacher, device, acceleration)


def place(model: IncrementalModel, device: str, acceleration: Acceleration = AUTO) -> IncrementalModel:
    """The model on `device`, its backbone as `acceleration` says."""
    layout = torch.channels_last if acceleration.channels_last else torch.contiguous_format
    model.to(device=torch.device(device), memory_format=layout)  # type: ignore[call-overload]  # no stub
    model.backbone_type = acceleration.backbone_type(torch.device(device))
    fuses = _fuses(torch.device(device), acceleration)
    fuse(model.backbone.modules(), on=fuses)
    model.converts_together = fuses and model.backbone_type is not None and not model.frozen
    if fuses and model.backbone_type is not None and model.frozen:
        convert_convolutions(model.backbone, model.backbone_type)
    if acceleration.compiles(torch.device(device)):
        model.backbone.compile()
    return model


def _fuses(device: torch.device, acceleration: Acceleration) -> bool:
    return acceleration.fuses(device) and kernels_run(device)
