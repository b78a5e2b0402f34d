"""ResNet-18 for small images, as DER's CIFAR tables use it: 64 to 512 channels at full resolution from the start.

11,168,832 parameters. Figures of this network cannot be compared with those of ResNet-32.
"""

from typing import cast

from torch import Tensor, nn

from lucir_core.models.fused.fused_norm import normalised
from lucir_core.models.resnet_cifar import BasicBlock
from lucir_core.models.resnet_imagenet import resnet18_stages


class WideCifarResNet(nn.Module):
    """3x3 stem without max-pool, four stages of two basic blocks; features of 512 dimensions.

    The second normalisation of every block starts at scale 0, as DER's code has it: each block begins as its shortcut.
    """

    feature_dim = 512

    def __init__(self, *, last_relu: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1, self.layer2, self.layer3, self.layer4 = resnet18_stages(last_relu=last_relu)

    def stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """x: (batch, 3, height, width), normalised; the maps after each stage."""
        out = normalised(self.bn1, self.conv1(x))
        first = self.layer1(out)
        second = self.layer2(first)
        third = self.layer3(second)
        return first, second, third, self.layer4(third)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, 3, height, width), normalised; features: (batch, 512), the means of the last maps."""
        return self.stages(x)[-1].mean(dim=(2, 3))

    def parts(self) -> tuple[nn.Module, ...]:
        """The stem and the four stages."""
        stem = nn.Sequential(self.conv1, self.bn1, nn.ReLU())
        return (stem, self.layer1, self.layer2, self.layer3, self.layer4)

    def start_as_shortcuts(self) -> None:
        """Put the scale of every block's second normalisation to 0."""
        for module in self.modules():
            if isinstance(module, BasicBlock):
                nn.init.zeros_(cast(Tensor, module.bn2.weight))
