"""High-pass filter: the coarse structure is taken away, up to a radius of the image's frequencies; edges remain.

x' = F^-1((1 - M) F(x)) with the low-pass mask M of `advcli.numerics.fourier`; a radius of 0 takes the mean alone, one below 0
nothing. The result is not cut to the range of images (half of it is negative, and cutting there would hide small
changes from the model and from an attack alike), so that the filter is linear and its gradient exact; and so it leaves
no images that a file could hold.
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
    radius: Annotated[float, Param("Frequencies up to here are removed, in cycles per image.", low=-1, high=10000)] = 1.0,
    shape: Annotated[Literal["ideal", "gaussian", "butterworth"], Param("How sharply it cuts.")] = "ideal",
    keep_dc: Annotated[bool, Param("Leave the image its mean.")] = False,
) -> nn.Module:
    return Filtered(model, partial(high, radius=radius, shape=shape, keep_dc=keep_dc))
