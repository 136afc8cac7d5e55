"""What makes a gradient's step transfer to other models: random sizes, scales, and smoothing over shifts.

A resampling of the rows and columns of an image is linear, x -> R x C^T, so that its gradient is R^T g C.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from advcli.numerics.rng import SampleRNG

SMALLEST = 0.9  # share of its size that an image keeps at least


class Resampling(NamedTuple):
    """(N, H, H) and (N, W, W) the weights of an image's old rows and columns in the new ones."""

    rows: Tensor
    columns: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return self.rows[:, None] @ x @ self.columns[:, None].mT

    def back(self, gradient: Tensor) -> Tensor:
        """The gradient with respect to the image, from that with respect to its resampling."""
        return self.rows[:, None].mT @ gradient @ self.columns[:, None]


def interpolation(length: int, share: Tensor, place: Tensor) -> Tensor:
    """(N, L, L) the bilinear weights that shrink L pixels to a share of them, `place` (0 to 1) of the free room before them."""
    free = length * (1 - share) * place
    at = (torch.arange(length, device=share.device) + 0.5 - free[:, None]) / share[:, None] - 0.5
    found: Tensor = (1 - (at[:, :, None] - torch.arange(length, device=share.device)).abs()).clamp_min(0)
    return found


def shrunk(shape: torch.Size, rng: SampleRNG, chance: float) -> Resampling:
    """A random smaller size at a random place on black, for each image with some chance; else the image as it is."""
    drawn = rng.uniform(4)
    share = torch.where(drawn[:, 0] < chance, 1 - (1 - SMALLEST) * drawn[:, 1], 1.0)
    return Resampling(interpolation(shape[2], share, drawn[:, 2]), interpolation(shape[3], share, drawn[:, 3]))


def smoothed(gradient: Tensor, reach: int) -> Tensor:
    """The gradient averaged over shifts of up to `reach` pixels, with Gaussian weights of deviation reach / sqrt(3)."""
    weights = []
    for length in gradient.shape[2:]:
        place = torch.arange(length, device=gradient.device)
        away = (place[:, None] - place).abs()
        every = torch.arange(-reach, reach + 1, dtype=torch.float64).square()
        total = float((-every * 3 / (2 * reach**2)).exp().sum())
        weights.append(torch.where(away <= reach, (-(away.double() ** 2) * 3 / (2 * reach**2)).exp() / total, 0.0).to(gradient))
    return weights[0] @ gradient @ weights[1].mT


@dataclass(frozen=True, slots=True)
class Transfer:
    """Which of the four means a search uses."""

    nesterov: bool
    diversity: float
    translation: int
    scales: int

    @property
    def looks_elsewhere(self) -> bool:
        """True if gradients are taken at other points than those of the search."""
        return self.nesterov or self.diversity > 0 or self.scales > 1

    def views(self, x: Tensor, rng: SampleRNG) -> list[tuple[Tensor, Resampling | None, float]]:
        """The points at which a gradient is taken, each with its resampling and its factor."""
        found: list[tuple[Tensor, Resampling | None, float]] = []
        for k in range(self.scales):
            resampling = shrunk(x.shape, rng.fork("size", k), self.diversity) if self.diversity else None
            found.append((resampling(x / 2**k) if resampling else x / 2**k, resampling, 1 / 2**k))
        return found
