"""Wide residual networks with swish, as DeepMind's robust models have them (Gowal et al. 2020).

The weights have the names and shapes of RobustBench's DMWideResNet: `--depth 28 --wide 10` is WRN-28-10.
"""

from typing import Annotated, Literal, cast

from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import architecture
from advcli.errors import CommandError

CIFAR = {
    10: {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2471, 0.2435, 0.2616]},
    100: {"mean": [0.5071, 0.4865, 0.4409], "std": [0.2673, 0.2564, 0.2762]},
}  # by the number of classes
ACTIVATIONS: dict[str, type[nn.Module]] = {"swish": nn.SiLU, "relu": nn.ReLU}
Activation = Literal["swish", "relu"]


def published_normalization(channels: int, classes: int) -> dict[str, list[float]]:
    """The means and deviations of the published networks, which their files do not hold."""
    return CIFAR.get(classes, {}) if channels == 3 else {}


def conv(inside: int, outside: int, stride: int) -> nn.Conv2d:
    """A 3x3 convolution; with stride 2, `padded` pads what it takes."""
    return nn.Conv2d(inside, outside, 3, stride, 1 if stride == 1 else 0, bias=False)


def padded(x: Tensor, stride: int) -> Tensor:
    """With stride 2, zeros on the right and below; on the left and above only where the size is odd."""
    if stride == 1:
        return x
    height, width = x.shape[2:]
    return nn.functional.pad(x, (width % 2, 1, height % 2, 1))


class Block(nn.Module):
    """Batch norm, activation, convolution, twice, beside a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.stride = stride
        self.batchnorm_0, self.batchnorm_1 = nn.BatchNorm2d(inside), nn.BatchNorm2d(outside)
        self.relu_0, self.relu_1 = ACTIVATIONS[activation](), ACTIVATIONS[activation]()
        self.conv_0, self.conv_1 = conv(inside, outside, stride), conv(outside, outside, 1)
        self.shortcut = nn.Conv2d(inside, outside, 1, stride, bias=False) if inside != outside else None

    def forward(self, x: Tensor) -> Tensor:
        before = self.relu_0(self.batchnorm_0(x))
        aside = x if self.shortcut is None else self.shortcut(before)
        return cast(Tensor, self.conv_1(self.relu_1(self.batchnorm_1(self.conv_0(padded(before, self.stride))))) + aside)


class Group(nn.Module):
    """The blocks of one stage."""

    def __init__(self, count: int, inside: int, outside: int, stride: int, activation: Activation) -> None:
        super().__init__()
        first = Block(inside, outside, stride, activation)
        self.block = nn.Sequential(first, *(Block(outside, outside, 1, activation) for _ in range(count - 1)))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.block(x))


class WideResNet(nn.Module):
    """A convolution, three stages, pooling, classes."""

    def __init__(self, channels: int, classes: int, count: int, wide: int, activation: Activation) -> None:
        super().__init__()
        self.init_conv = conv(channels, 16, 1)
        sizes = [16, 16 * wide, 32 * wide, 64 * wide]
        stages = (Group(count, sizes[k], sizes[k + 1], 1 + (k > 0), activation) for k in range(3))
        self.layer = nn.Sequential(*stages)
        self.batchnorm, self.relu = nn.BatchNorm2d(sizes[3]), ACTIVATIONS[activation]()
        self.pool, self.logits = nn.AdaptiveAvgPool2d(1), nn.Linear(sizes[3], classes)
        for one in self.modules():
            if isinstance(one, nn.Conv2d):
                nn.init.kaiming_normal_(one.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.batchnorm(self.layer(self.init_conv(x))))
        return cast(Tensor, self.logits(self.pool(x).flatten(1)))


@architecture(family="residual", paper="arXiv:2010.03593")
def dm_wrn(
    shape: tuple[int, int, int],
    classes: int,
    *,
    depth: Annotated[int, Param("Number of layers: 10, 16, 22, 28, ...", low=10, high=1000)] = 16,
    wide: Annotated[int, Param("Widening factor.", low=1, high=64)] = 2,
    activation: Annotated[Literal["swish", "relu"], Param("Activation: swish is x times the sigmoid of x.")] = "swish",
) -> nn.Module:
    if (depth - 4) % 6:
        raise CommandError(f"--depth {depth}: a wide resnet has 10, 16, 22, 28, ... layers")
    return WideResNet(shape[0], classes, (depth - 4) // 6, wide, activation)
