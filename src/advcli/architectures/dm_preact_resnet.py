"""PreAct ResNet with swish, as DeepMind's robust models have it, with 18 or 34 layers (Gowal et al. 2020).

The weights have the names and shapes of RobustBench's DMPreActResNet: shortcuts are 3x3 convolutions of the block's input.
"""

from typing import Annotated, Literal, cast

from torch import Tensor, nn

from advcli.architectures.dm_wrn import ACTIVATIONS, Activation, conv, padded
from advcli.architectures.dm_wrn import published_normalization as published_normalization  # the same here
from advcli.catalog.params import Param
from advcli.catalog.registry import architecture

BLOCKS = {"18": (2, 2, 2, 2), "34": (3, 4, 6, 3)}


class Block(nn.Module):
    """Batch norm, activation, convolution, twice, beside a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.stride = stride
        self.batchnorm_0, self.batchnorm_1 = nn.BatchNorm2d(inside), nn.BatchNorm2d(outside)
        self.relu_0, self.relu_1 = ACTIVATIONS[activation](), ACTIVATIONS[activation]()
        self.conv_2d_1, self.conv_2d_2 = conv(inside, outside, stride), conv(outside, outside, 1)
        self.shortcut = conv(inside, outside, stride) if stride > 1 or inside != outside else None

    def forward(self, x: Tensor) -> Tensor:
        before = padded(self.relu_0(self.batchnorm_0(x)), self.stride)
        aside = x if self.shortcut is None else self.shortcut(padded(x, self.stride))
        return cast(Tensor, self.conv_2d_2(self.relu_1(self.batchnorm_1(self.conv_2d_1(before)))) + aside)


class PreActResNet(nn.Module):
    """A convolution, four stages, pooling, classes."""

    def __init__(self, channels: int, classes: int, width: int, counts: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        self.conv_2d = conv(channels, width, 1)
        sizes = [width, width, 2 * width, 4 * width, 8 * width]
        for k, count in enumerate(counts):
            first = Block(sizes[k], sizes[k + 1], 1 + (k > 0), activation)
            others = (Block(sizes[k + 1], sizes[k + 1], 1, activation) for _ in range(count - 1))
            self.add_module(f"layer_{k}", nn.Sequential(first, *others))
        self.batchnorm, self.relu = nn.BatchNorm2d(sizes[4]), ACTIVATIONS[activation]()
        self.pool, self.logits = nn.AdaptiveAvgPool2d(1), nn.Linear(sizes[4], classes)
        for one in self.modules():
            if isinstance(one, nn.Conv2d):
                nn.init.kaiming_normal_(one.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_2d(x)
        for k in range(4):
            x = self.get_submodule(f"layer_{k}")(x)
        return cast(Tensor, self.logits(self.pool(self.relu(self.batchnorm(x))).flatten(1)))


@architecture(family="residual", paper="arXiv:2010.03593")
def dm_preact_resnet(
    shape: tuple[int, int, int],
    classes: int,
    *,
    depth: Annotated[Literal["18", "34"], Param("Number of layers.")] = "18",
    width: Annotated[int, Param("Channels of the first stage.", low=1, high=1024)] = 64,
    activation: Annotated[Literal["swish", "relu"], Param("Activation: swish is x times the sigmoid of x.")] = "swish",
) -> nn.Module:
    return PreActResNet(shape[0], classes, width, BLOCKS[depth], activation)
