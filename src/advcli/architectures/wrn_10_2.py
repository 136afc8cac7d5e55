"""WRN-10-2: a wide residual network with 10 layers and widening factor 2 (Zagoruyko and Komodakis)."""

from torch import nn

from advcli.architectures.wrn import network
from advcli.catalog.registry import architecture


@architecture(family="residual", paper="arXiv:1605.07146")
def wrn_10_2(shape: tuple[int, int, int], classes: int) -> nn.Module:
    return network(shape, classes, 10, 2)
