"""Low-pass filter: keeps the low frequencies of the image, up to a radius, and removes the rest.

x' = F^-1(M F(x)) with a mask M of the distance d of each frequency from zero: ideal, 1 where d <= radius; gaussian,
exp(-d^2 / (2 radius^2)); butterworth, 1 / (1 + (d / radius)^4). Values beyond the pixel range (an ideal mask overshoots)
are not clipped, so that the filter is linear and its gradient exact. Only images that are written to a file are clipped.
"""

from functools import partial
from typing import Annotated, Literal

from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.networks.filtered import Filtered
from advcli.numerics.fourier import low_mask, passed


def low(x: Tensor, radius: float, shape: str) -> Tensor:
    """The frequencies up to a radius."""
    return passed(x, low_mask(x.shape[2:], radius, shape))


@defense(family="filter", gradient="exact", paper="Alzantot, Chakraborty and Srivastava")
def lowpass(
    model: nn.Module,
    *,
    radius: Annotated[float, Param("Largest frequency that is kept, in cycles per image.", low=0, high=10000)] = 8.0,
    shape: Annotated[Literal["ideal", "gaussian", "butterworth"], Param("Shape of the frequency mask.")] = "ideal",
) -> nn.Module:
    return Filtered(model, partial(low, radius=radius, shape=shape))
