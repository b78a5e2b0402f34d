"""ResNet-18 in torchvision's layout and parameter names, without its classifier."""

from torch import Tensor, nn
from torch.nn import functional

from lucir_core.models.resnet_cifar import BasicBlock


class ImageNetResNet(nn.Module):
    """7x7 stem with max-pool, four stages of two basic blocks, 64 to 512 channels; features of 512 dimensions."""

    feature_dim = 512

    def __init__(self, *, last_relu: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1, self.layer2, self.layer3, self.layer4 = resnet18_stages(last_relu=last_relu)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, 3, height, width), normalised; features: (batch, 512)."""
        out = self.maxpool(functional.relu(self.bn1(self.conv1(x)), inplace=True))
        maps: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        return maps.mean(dim=(2, 3))

    def parts(self) -> tuple[nn.Module, ...]:
        """The stem and the four stages."""
        stem = nn.Sequential(self.conv1, self.bn1, nn.ReLU(), self.maxpool)
        return (stem, self.layer1, self.layer2, self.layer3, self.layer4)


def resnet18_stages(*, last_relu: bool) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential, nn.Sequential]:
    """Four stages of two basic blocks, from 64 channels to 512; each but the first halves the side."""
    return (
        nn.Sequential(BasicBlock(64, 64), BasicBlock(64, 64)),
        nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128)),
        nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256)),
        nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, last_relu=last_relu)),
    )
