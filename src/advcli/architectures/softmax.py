"""Softmax regression: one linear layer, so that the distance to every decision boundary is known exactly."""

from math import prod

from torch import nn

from advcli.catalog.registry import architecture


@architecture(family="linear")
def softmax(shape: tuple[int, int, int], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), classes))
