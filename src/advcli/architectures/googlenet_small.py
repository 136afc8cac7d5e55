"""A small GoogLeNet for 32x32 images: a 3x3 stem and seven inception blocks, with batch norm, without auxiliary heads."""

from typing import Annotated, cast

import torch
from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import architecture

# Channels of each block: 1x1; 3x3; 5x5 as two 3x3; after pooling.
HALVE = "-"
BLOCKS: list[tuple[int, int, int, int] | str] = [
    (32, 48, 16, 16),
    (48, 64, 32, 32),
    HALVE,
    (64, 80, 24, 32),
    (64, 96, 32, 32),
    (96, 128, 32, 48),
    HALVE,
    (96, 160, 48, 64),
    (128, 192, 48, 64),
]


def convolution(inside: int, outside: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, size, padding=size // 2, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


class Inception(nn.Module):
    """Four parallel branches, concatenated."""

    def __init__(self, inside: int, one: int, three: int, five: int, pooled: int) -> None:
        super().__init__()
        self.one = convolution(inside, one, 1)
        self.three = nn.Sequential(convolution(inside, three // 2, 1), convolution(three // 2, three, 3))
        self.five = nn.Sequential(convolution(inside, five // 2, 1), convolution(five // 2, five, 3), convolution(five, five, 3))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), convolution(inside, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)


class GoogLeNet(nn.Module):
    """Stem, blocks, pooling, classes."""

    def __init__(self, channels: int, classes: int, width: float) -> None:
        super().__init__()
        size = max(2, round(64 * width))
        self.stem = convolution(channels, size, 3)
        layers: list[nn.Module] = []
        for block in BLOCKS:
            if isinstance(block, str):
                layers.append(nn.MaxPool2d(3, 2, 1))
                continue
            sizes = [max(2, round(one * width)) for one in block]
            layers.append(Inception(size, *sizes))
            size = sum(sizes)
        self.blocks = nn.Sequential(*layers)
        self.fc = nn.Linear(size, classes)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc(self.blocks(self.stem(x)).mean((2, 3))))


@architecture(family="inception", paper="arXiv:1409.4842")
def googlenet_small(
    shape: tuple[int, int, int],
    classes: int,
    *,
    width: Annotated[float, Param("Factor of the number of channels.", low=0.1, high=16)] = 1.0,
) -> nn.Module:
    return GoogLeNet(shape[0], classes, width)
