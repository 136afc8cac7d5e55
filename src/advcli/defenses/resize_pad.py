"""Shrinks the image by a random share and puts it at a random place of a black frame, before the model sees it.

The size is uniform between a smallest share of the image and the whole of it; Xie et al. enlarge from 299 pixels to as many as
331, where 0.9 is the smallest share. Here the frame has the size of the image, so that every network fits behind it. The
resampling is bilinear and has its exact gradient. Every image draws by itself, by the seed.
"""

from functools import partial
from typing import Annotated

from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.networks.filtered import RandomlyFiltered
from advcli.numerics.resampling import resized
from advcli.numerics.rng import SampleRNG


def placed(x: Tensor, draws: SampleRNG, smallest: float) -> Tensor:
    """Each image at a size and a place of its own; as it is if no smaller size is allowed."""
    if smallest >= 1:
        return x
    share = smallest + (1 - smallest) * draws.fork("size").uniform()
    return resized(x, share, draws.fork("place").uniform(2))


@defense(family="filter", gradient="exact", random=True, paper="arXiv:1711.01991")
def resize_pad(
    model: nn.Module,
    *,
    smallest: Annotated[float, Param("Smallest size, as a share of the image.", low=0.01, high=1)] = 0.9,
) -> nn.Module:
    return RandomlyFiltered(model, partial(placed, smallest=smallest))
