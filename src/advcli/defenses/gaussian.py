"""Gaussian smoothing of the image before the model sees it.

G = exp(-(x^2 + y^2) / (2 sigma^2)), cut at four sigma, normalised, with reflected borders: the same as
scipy.ndimage.gaussian_filter. It is computed as one matrix for the rows and one for the columns, so that it is exact,
differentiable, and also right for images smaller than the kernel.
"""

from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.networks.filtered import Filtered
from advcli.numerics.resampling import reflected

TRUNCATE = 4.0


def smoothing_matrix(size: int, sigma: float) -> Tensor:
    """(size, size) weights of every pixel in every smoothed pixel."""
    reach = int(TRUNCATE * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2) if reach else torch.ones(1, dtype=torch.float64)
    weights = weights / weights.sum()
    place = reflected(torch.arange(size)[:, None] + torch.arange(-reach, reach + 1), size)
    return torch.zeros(size, size, dtype=torch.float64).scatter_add(1, place, weights.expand(size, -1)).float()


def smooth(x: Tensor, sigma: float) -> Tensor:
    rows, columns = (smoothing_matrix(size, sigma).to(x.device) for size in x.shape[2:])
    return rows @ x @ columns.T


@defense(family="filter", gradient="exact", paper="Alzantot, Chakraborty and Srivastava")
def gaussian(
    model: nn.Module,
    *,
    sigma: Annotated[float, Param("Standard deviation in pixels.", low=0, high=100)] = 0.75,
) -> nn.Module:
    return Filtered(model, partial(smooth, sigma=sigma) if sigma else nn.Identity())
