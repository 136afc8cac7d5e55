"""ResNet-18: four stages of two residual blocks, batch norm, global pooling (He et al. 2016).

Images up to 64 pixels get a stem of one 3x3 convolution; larger ones get the 7x7 convolution and pooling for ImageNet.
With width 64 the weights have the names and shapes of torchvision's.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, cast

from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import architecture

SMALL = 64


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1 or inside != outside:
            self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        aside = x if self.downsample is None else self.downsample(x)
        return cast(Tensor, self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + aside))


class ResNet(nn.Module):
    """Stem, stages, pooling, classes."""

    def __init__(self, channels: int, classes: int, width: int, *, small: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3 if small else 7, 1 if small else 2, 1 if small else 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._stage(width, width, 1)
        self.layer2 = self._stage(width, 2 * width, 2)
        self.layer3 = self._stage(2 * width, 4 * width, 2)
        self.layer4 = self._stage(4 * width, 8 * width, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * width, classes)
        for one in self.modules():
            if isinstance(one, nn.Conv2d):
                nn.init.kaiming_normal_(one.weight, mode="fan_out", nonlinearity="relu")

    def _stage(self, inside: int, outside: int, stride: int) -> nn.Sequential:
        return nn.Sequential(Block(inside, outside, stride), Block(outside, outside, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return cast(Tensor, self.fc(self.avgpool(x).flatten(1)))


def own_names(names: Iterable[str]) -> dict[str, str]:
    """The names of pytorch-cifar's and RobustBench's ResNet-18, as this network calls them."""
    return {name: name.replace(".shortcut.", ".downsample.").replace("linear.", "fc.") for name in names}


@architecture(family="residual", paper="arXiv:1512.03385")
def resnet18(
    shape: tuple[int, int, int],
    classes: int,
    *,
    width: Annotated[int, Param("Channels of the first stage.", low=1, high=1024)] = 64,
    stem: Annotated[
        Literal["auto", "small", "large"], Param("First layers: for images of about 32 pixels (small) or of 224 (large).")
    ] = "auto",
) -> nn.Module:
    small = stem == "small" or (stem == "auto" and max(shape[1:]) <= SMALL)
    return ResNet(shape[0], classes, width, small=small)
