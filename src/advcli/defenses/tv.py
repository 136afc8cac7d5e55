"""Total-variation minimisation of the image before the model sees it: edges stay, small changes beside them go.

z = argmin 1/2 ||z - x||^2 + w sum_p |grad z|(p), each channel by itself, with differences to the pixel below and to the right
(Rudin, Osher and Fatemi 1992). It is solved by accelerated projected gradients of the dual (Beck and Teboulle 2009), a fixed
number of steps, so that it draws nothing and the gradient goes through every step. Guo et al. drop a random half of the pixels
first; that is not done here.
"""

from functools import partial
from math import sqrt
from typing import Annotated

import torch
from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.networks.filtered import Filtered

LARGEST = 8  # squared norm of the differences


def differences(z: Tensor) -> tuple[Tensor, Tensor]:
    """To the pixel below, and to the one on the right; zero at the end."""
    below = nn.functional.pad(z[:, :, 1:] - z[:, :, :-1], (0, 0, 0, 1))
    return below, nn.functional.pad(z[:, :, :, 1:] - z[:, :, :, :-1], (0, 1))


def gathered(below: Tensor, beside: Tensor) -> Tensor:
    """The adjoint of `differences`."""
    down, right = below[:, :, :-1], beside[:, :, :, :-1]
    rows = nn.functional.pad(down, (0, 0, 1, 0)) - nn.functional.pad(down, (0, 0, 0, 1))
    return rows + nn.functional.pad(right, (1, 0)) - nn.functional.pad(right, (0, 1))


def flattened(x: Tensor, weight: float, steps: int) -> Tensor:
    """The image with the least sum of squared changes and weighted total variation."""
    below = beside = torch.zeros_like(x)
    ahead, momentum = (below, beside), 1.0
    for _ in range(steps):
        slope = differences(x - weight * gathered(*ahead))
        first, second = (old + new / (LARGEST * weight) for old, new in zip(ahead, slope, strict=True))
        size = (first.square() + second.square()).clamp_min(1).sqrt()
        later = (1 + sqrt(1 + 4 * momentum**2)) / 2
        share, momentum = (momentum - 1) / later, later
        ahead = (first / size + share * (first / size - below), second / size + share * (second / size - beside))
        below, beside = first / size, second / size
    return x - weight * gathered(below, beside)


@defense(family="filter", gradient="exact", paper="arXiv:1711.00117")
def tv(
    model: nn.Module,
    *,
    weight: Annotated[float, Param("Weight of the total variation.", low=0, high=100)] = 0.03,
    steps: Annotated[int, Param("Steps of the minimisation.", low=1, high=10000)] = 30,
) -> nn.Module:
    return Filtered(model, partial(flattened, weight=weight, steps=steps) if weight else nn.Identity())
