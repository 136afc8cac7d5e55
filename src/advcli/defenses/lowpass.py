"""Low-pass filter: only the coarse structure of the image reaches the model, up to a radius of its frequencies.

x' = F^-1(M F(x)) with the mask of `advcli.numerics.fourier`; what an ideal mask overshoots is left as it is, so that the filter
is linear and its gradient exact. Where images are written to a file, they are cut to the range of images.
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
    radius: Annotated[float, Param("Frequencies up to here pass, in cycles per image.", low=0, high=10000)] = 8.0,
    shape: Annotated[Literal["ideal", "gaussian", "butterworth"], Param("How sharply it cuts.")] = "ideal",
) -> nn.Module:
    return Filtered(model, partial(low, radius=radius, shape=shape))
