"""EfficientNet-Lite (Google, 2020): EfficientNet (Tan and Le, ICML 2019) without squeeze-and-excitation, with ReLU6.

Made for small devices: 16 to 23 inverted-bottleneck blocks of plain convolutions, which quantise well and export to
ONNX without custom operations. Padding is TensorFlow's "SAME", as the published weights were trained with: at stride 2
an even side is padded more at its end, so that sides must be multiples of 32.
"""

import math

from torch import Tensor, nn

BATCH_NORM_EPSILON = 1e-3
BLOCKS = (  # repeats, kernel, stride, expansion, channels: the stages of EfficientNet-B0
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite(nn.Module):
    """Images to 1280 non-negative features: stem, seven stages, a 1x1 convolution, the mean over the map.

    width, depth: factors on channels and repeats; (1, 1) is Lite0, (1.1, 1.2) Lite2. Stem, first and last stage keep
    their repeats and the stem and the last convolution their channels, whatever the factors.
    """

    feature_dim = 1280

    def __init__(self, width: float = 1.0, depth: float = 1.0) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, stride=2)
        blocks: list[nn.Module] = []
        channels = 32
        self._starts: list[int] = []
        for index, (repeats, kernel, stride, expansion, wanted) in enumerate(BLOCKS):
            edge = index in (0, len(BLOCKS) - 1)
            count = repeats if edge else math.ceil(repeats * depth)
            out = _rounded(wanted * width)
            self._starts.append(len(blocks))
            for repeat in range(count):
                blocks.append(Bottleneck(channels, out, kernel, stride if repeat == 0 else 1, expansion))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.last = ConvNorm(channels, self.feature_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, 3, side, side), normalised, side a multiple of 32; features: (batch, 1280)."""
        maps: Tensor = self.last(self.blocks(self.stem(x)))
        return maps.mean(dim=(2, 3))

    def parts(self) -> tuple[nn.Module, ...]:
        """The stem and the seven stages, the last convolution with the last of them."""
        ends = [*self._starts[1:], len(self.blocks)]
        stages = [self.blocks[start:end] for start, end in zip(self._starts, ends, strict=True)]
        return (self.stem, *stages[:-1], nn.Sequential(stages[-1], self.last))


class ConvNorm(nn.Module):
    """Convolution with "SAME" padding, batch normalisation and, unless `activation` is off, ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, activation: bool = True
    ) -> None:
        super().__init__()
        total = kernel - stride  # of an even side; at stride 1 the same for every side
        self.pad = nn.ZeroPad2d((total // 2, total - total // 2) * 2) if total > 0 else nn.Identity()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPSILON)
        self.activation = nn.ReLU6() if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, inputs, side, side)."""
        out: Tensor = self.activation(self.norm(self.conv(self.pad(x))))
        return out


class Bottleneck(nn.Module):
    """Widen (1x1), filter each channel (depthwise), narrow (1x1, no activation); a shortcut where shapes allow it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.widen = ConvNorm(inputs, wide, 1) if expansion > 1 else nn.Identity()
        self.filter = ConvNorm(wide, wide, kernel, stride=stride, groups=wide)
        self.narrow = ConvNorm(wide, outputs, 1, activation=False)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, inputs, side, side)."""
        out: Tensor = self.narrow(self.filter(self.widen(x)))
        return out + x if self.shortcut else out


def _rounded(channels: float) -> int:
    """To a multiple of 8, never more than a tenth below."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
