"""A backbone cut in two: a first part that stays as it is, and the last stages, which may be trained on its maps."""

from typing import NamedTuple, Protocol, cast, runtime_checkable

from torch import Tensor, nn

from lucir_core.errors import ConfigError


@runtime_checkable
class Parted(Protocol):
    """A backbone that is a chain of parts; its features are the means of the last part's maps."""

    def parts(self) -> tuple[nn.Module, ...]:
        """The stem and the stages, in order: the modules of the backbone themselves, not copies."""
        ...


class Split(NamedTuple):
    """Both parts share their modules with the backbone."""

    front: nn.Module
    """Normalised images (batch, 3, size, size) to maps (batch, channels, side, side)."""
    last: "LastStages"


class LastStages(nn.Module):
    """Maps of the first part to features (batch, feature_dim)."""

    def __init__(self, stages: nn.Sequential, feature_dim: int) -> None:
        super().__init__()
        self.stages = stages
        self.feature_dim = feature_dim

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, side, side)."""
        maps: Tensor = self.stages(x)
        return maps.mean(dim=(2, 3))


def split_backbone(backbone: nn.Module, stages: int) -> Split:
    """Cut before the last `stages` stages; raises ConfigError where the backbone has not so many besides its stem."""
    if not isinstance(backbone, Parted):
        raise ConfigError("this backbone cannot be cut into stages: choose an EfficientNet-Lite or a plain ResNet")
    parts = backbone.parts()
    if not 1 <= stages < len(parts):
        raise ConfigError(
            f"refine.stages is {stages}: this backbone has {len(parts) - 1} stages, give 1 or more of them"
        )
    dim = cast(int, backbone.feature_dim)
    return Split(nn.Sequential(*parts[:-stages]), LastStages(nn.Sequential(*parts[-stages:]), dim))
