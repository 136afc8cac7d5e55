"""High-pass filter: removes the low frequencies of the image, up to a radius, and keeps the edges.

x' = F^-1((1 - M) F(x)) with the mask M of the low-pass filter; a radius of 0 removes the mean alone, a negative
radius removes nothing. The result is not clipped to the pixel range: half of it is negative, and clipping would
hide small changes from the model and from an attack. So the filter is linear and its gradient exact, and its output cannot
be stored as image files.
"""

from functools import partial
from typing import Annotated, Literal

from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.networks.filtered import Filtered
from advcli.numerics.fourier import low_mask, passed


def high(x: Tensor, radius: float, shape: str, keep_dc: bool) -> Tensor:
    """The frequencies beyond a radius."""
    mask = 1 - low_mask(x.shape[2:], radius, shape)
    if keep_dc:
        mask[0, 0] = 1
    return passed(x, mask)


@defense(family="filter", gradient="exact", filters=False, paper="Alzantot, Chakraborty and Srivastava")
def highpass(
    model: nn.Module,
    *,
    radius: Annotated[float, Param("Largest frequency that is removed, in cycles per image.", low=-1, high=10000)] = 1.0,
    shape: Annotated[Literal["ideal", "gaussian", "butterworth"], Param("Shape of the frequency mask.")] = "ideal",
    keep_dc: Annotated[bool, Param("Keep the mean of the image.")] = False,
) -> nn.Module:
    return Filtered(model, partial(high, radius=radius, shape=shape, keep_dc=keep_dc))
