"""PreAct ResNet-18 for small images: batch norm and ReLU before each convolution (He et al. 2016, Identity Mappings).

The names and shapes of the weights are those of pytorch-cifar and RobustBench, whose networks differ in two places: whether
the shortcut of a stage takes the block's input or what batch norm and ReLU make of it, and whether there are a batch norm and
a ReLU before the last layer.
"""

from typing import Annotated, Literal, cast

from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import architecture

Shortcut = Literal["activated", "input"]


class Block(nn.Module):
    """Batch norm, ReLU, convolution, twice, beside a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int, takes: Shortcut) -> None:
        super().__init__()
        self.takes, self.relu = takes, nn.ReLU()
        self.bn1, self.bn2 = nn.BatchNorm2d(inside), nn.BatchNorm2d(outside)
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.shortcut = None
        if stride > 1 or inside != outside:
            self.shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        ready = self.relu(self.bn1(x))
        aside = x if self.shortcut is None else self.shortcut(ready if self.takes == "activated" else x)
        return cast(Tensor, self.conv2(self.relu(self.bn2(self.conv1(ready)))) + aside)


class PreActResNet(nn.Module):
    """A convolution, four stages, pooling, classes."""

    def __init__(self, channels: int, classes: int, width: int, takes: Shortcut, *, last_norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        sizes = [width, width, 2 * width, 4 * width, 8 * width]
        for k in range(4):
            first, second = Block(sizes[k], sizes[k + 1], 1 + (k > 0), takes), Block(sizes[k + 1], sizes[k + 1], 1, takes)
            self.add_module(f"layer{k + 1}", nn.Sequential(first, second))
        self.bn = nn.BatchNorm2d(sizes[4]) if last_norm else nn.Identity()
        self.relu = nn.ReLU() if last_norm else nn.Identity()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(sizes[4], classes)
        for one in self.modules():
            if isinstance(one, nn.Conv2d):
                nn.init.kaiming_normal_(one.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for k in range(4):
            x = self.get_submodule(f"layer{k + 1}")(x)
        return cast(Tensor, self.linear(self.avgpool(self.relu(self.bn(x))).flatten(1)))


@architecture(family="residual", paper="arXiv:1603.05027")
def preact_resnet18(
    shape: tuple[int, int, int],
    classes: int,
    *,
    width: Annotated[int, Param("Channels of the first stage.", low=1, high=1024)] = 64,
    shortcut: Annotated[
        Literal["activated", "input"], Param("What a shortcut takes: the input of its block, or that after batch norm and ReLU.")
    ] = "activated",
    last_norm: Annotated[bool, Param("Batch norm and ReLU before the last layer.")] = True,
) -> nn.Module:
    return PreActResNet(shape[0], classes, width, shortcut, last_norm=last_norm)
