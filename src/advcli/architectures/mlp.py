"""A multilayer perceptron: fully connected layers."""

from math import prod
from typing import Annotated, Literal

from torch import nn

from advcli.catalog.params import Param
from advcli.catalog.registry import architecture
from advcli.errors import CommandError
from advcli.networks.classifier import Dropout

LARGEST = 65536


@architecture(family="fully connected")
def mlp(
    shape: tuple[int, int, int],
    classes: int,
    *,
    hidden: Annotated[str, Param("Sizes of the hidden layers.", form="N,N,...")] = "64",
    activation: Annotated[Literal["relu", "sigmoid", "tanh"], Param("Activation function after every hidden layer.")] = "relu",
    dropout: Annotated[float, Param("Share of units dropped in training.", low=0, high=0.99)] = 0.0,
) -> nn.Module:
    kinds: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
    layers: list[nn.Module] = [nn.Flatten()]
    size = prod(shape)
    for text in hidden.split(","):
        if not (text.strip().isascii() and text.strip().isdecimal() and 0 < int(text) <= LARGEST):
            raise CommandError(f"--hidden: {hidden!r} is not a list of sizes such as 64 or 300,100, each up to {LARGEST}")
        layers += [nn.Linear(size, int(text)), kinds[activation](), Dropout(dropout)]
        size = int(text)
    return nn.Sequential(*layers, nn.Linear(size, classes))
