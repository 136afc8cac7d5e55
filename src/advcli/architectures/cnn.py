"""A small convolutional network: two 3x3 convolutions with pooling, one hidden layer, dropout before the last layer."""

from typing import Annotated

from torch import nn

from advcli.catalog.params import Param
from advcli.catalog.registry import architecture
from advcli.errors import CommandError
from advcli.networks.classifier import Dropout


@architecture(family="convolutional")
def cnn(
    shape: tuple[int, int, int],
    classes: int,
    *,
    width: Annotated[int, Param("Channels of the first convolution; the second has twice as many.", low=1, high=4096)] = 16,
    hidden: Annotated[int, Param("Units of the hidden layer.", low=1, high=65536)] = 64,
    dropout: Annotated[float, Param("Share of hidden units dropped in training.", low=0, high=0.99)] = 0.25,
    block_dropout: Annotated[float, Param("Share dropped after each convolution.", low=0, high=0.99)] = 0.0,
) -> nn.Module:
    channels, height, breadth = shape
    if min(height, breadth) < 4:
        raise CommandError(f"cnn pools twice and needs 4x4 pixels; the images have {height}x{breadth}: take --arch mlp")
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        Dropout(block_dropout),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        Dropout(block_dropout),
        nn.Flatten(),
        nn.Linear(2 * width * (height // 4) * (breadth // 4), hidden),
        nn.ReLU(),
        Dropout(dropout),
        nn.Linear(hidden, classes),
    )
