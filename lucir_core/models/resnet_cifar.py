"""ResNet for small images, as LUCIR's CIFAR experiments use it: 3 stages of 16, 32 and 64 channels.

Shortcuts at a change of stage are 1x1 convolutions with normalisation (He's option B); 466,256 parameters at depth 32.
"""

from torch import Tensor, nn

from lucir_core.models.fused.fused_conv import convolved
from lucir_core.models.fused.fused_norm import normalised


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; `last_relu=False` returns the plain sum, so features take both signs."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, last_relu: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.last_relu = last_relu
        self.gate: nn.Module | None = None
        """On the channels between the two convolutions, while masks are learnt (`lucir_core.models.gates`)."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, inputs, height, width); out: (batch, outputs, height / stride, width / stride)."""
        residual = x
        if self.downsample is not None:
            residual = normalised(self.downsample[1], self.downsample[0](x), relu=False)
        out = normalised(self.bn1, convolved(self.conv1, x))
        if self.gate is not None:
            out = self.gate(out)
        return normalised(self.bn2, convolved(self.conv2, out), residual, relu=self.last_relu)


class CifarResNet(nn.Module):
    """3x3 stem, three stages of `blocks` basic blocks, mean over the remaining pixels; features of 64 dimensions."""

    feature_dim = 64

    def __init__(self, blocks: int, *, last_relu: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks, 1)
        self.layer2 = _stage(16, 32, blocks, 2)
        self.layer3 = _stage(32, 64, blocks, 2, last_relu=last_relu)

    def stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """x: (batch, 3, height, width), normalised; the maps after each stage."""
        out = normalised(self.bn1, self.conv1(x))
        first = self.layer1(out)
        second = self.layer2(first)
        return first, second, self.layer3(second)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, 3, height, width), normalised; features: (batch, 64), the means of the last maps."""
        return self.stages(x)[-1].mean(dim=(2, 3))

    def parts(self) -> tuple[nn.Module, ...]:
        """The stem and the three stages."""
        return (nn.Sequential(self.conv1, self.bn1, nn.ReLU()), self.layer1, self.layer2, self.layer3)


def _stage(inputs: int, outputs: int, blocks: int, stride: int, *, last_relu: bool = True) -> nn.Sequential:
    layers = [BasicBlock(inputs, outputs, stride, last_relu=last_relu or blocks > 1)]
    layers += [BasicBlock(outputs, outputs, last_relu=last_relu or i < blocks - 1) for i in range(1, blocks)]
    return nn.Sequential(*layers)
