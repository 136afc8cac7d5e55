"""WRN-10-2: the wide residual network of 10 layers, twice as wide (Zagoruyko and Komodakis)."""

from torch import nn

from advcli.architectures.wrn import network
from advcli.catalog.registry import architecture


@architecture(family="residual", paper="arXiv:1605.07146")
def wrn_10_2(shape: tuple[int, int, int], classes: int) -> nn.Module:
    return network(shape, classes, 10, 2)
