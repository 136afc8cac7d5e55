"""Changes of light and camera: brightness, contrast, blur, noise, JPEG, size and place, and a print that is photographed.

In this order, each only if it is given: x + b; m + c (x - m) about the mean m of a channel; Gaussian blur; Gaussian noise;
resizing and padding as in resize-pad; the photograph; JPEG. The photograph is a perspective of random corners (each up to 5 %
of a side away), one bilinear resampling, a random gamma of 0.8 to 1.25, noise of 0.02, and JPEG of quality 75, all of them
times its strength. Pixels stay between black and white; the gradient passes straight through that limit, and through JPEG as
in `jpeg` (BPDA); all else is exact. The random parts are drawn for every image by itself, by the seed.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.defenses.gaussian import smooth
from advcli.defenses.jpeg import compressed
from advcli.defenses.resize_pad import placed
from advcli.networks.filtered import RandomlyFiltered, straight_through
from advcli.numerics.resampling import warped
from advcli.numerics.rng import SampleRNG

CORNER, GAMMA, GRAIN, LOSS = 0.05, 0.2231435513142097, 0.02, 25  # of a photograph: share, ln 1.25, pixel value, JPEG quality
DARK = 1 / 255  # added before gamma, whose slope at black would be infinite


@dataclass(frozen=True, slots=True)
class Settings:
    """The changes that were asked for; None where one is left out."""

    brightness: float | None
    contrast: float | None
    blur: float | None
    noise: float | None
    resize: float | None
    photo: float | None
    quality: int | None


def limited(x: Tensor) -> Tensor:
    """Pixels between black and white, whose gradient does not vanish there."""
    return straight_through(x.clamp(0, 1), x)


def grainy(x: Tensor, draws: SampleRNG, std: float) -> Tensor:
    """Gaussian noise."""
    return limited(x + std * draws.normal(*x.shape[1:]))


def contrasted(x: Tensor, factor: float) -> Tensor:
    """The distance from the mean of each channel, times a factor."""
    mean = x.mean((2, 3), keepdim=True)
    return limited(mean + factor * (x - mean))


def exposed(x: Tensor, gamma: Tensor) -> Tensor:
    """x^gamma with black at 0, white at 1, and a finite slope at black; one exponent (N,) for each image."""
    power = gamma.view(-1, 1, 1, 1)
    low, high = torch.full_like(power, DARK) ** power, torch.full_like(power, 1 + DARK) ** power
    return ((limited(x) + DARK) ** power - low) / (high - low)


def photographed(x: Tensor, draws: SampleRNG, strength: float) -> Tensor:
    """A print of the image, photographed by hand."""
    square = torch.tensor([[0, 0], [0, 1], [1, 1], [1, 0]], dtype=torch.float32, device=x.device)
    x = warped(x, square + strength * CORNER * (2 * draws.fork("corners").uniform(4, 2) - 1))
    x = exposed(x, (strength * GAMMA * (2 * draws.fork("gamma").uniform() - 1)).exp())
    x = grainy(x, draws.fork("grain"), strength * GRAIN)
    return compressed(x, round(100 - LOSS * strength), "half")


def changed(x: Tensor, draws: SampleRNG, settings: Settings) -> Tensor:
    """The image after every change; zero, or one for factors, leaves its bits alone."""
    if settings.brightness:
        x = limited(x + settings.brightness)
    if settings.contrast not in (None, 1):
        x = contrasted(x, settings.contrast)
    if settings.blur:
        x = smooth(x, settings.blur)
    if settings.noise:
        x = grainy(x, draws.fork("noise"), settings.noise)
    if settings.resize:
        x = placed(x, draws.fork("resize"), settings.resize)
    if settings.photo:
        x = photographed(x, draws.fork("photo"), settings.photo)
    return compressed(x, settings.quality, "half") if settings.quality else x


@defense(family="filter", gradient="surrogate", random=True, paper="arXiv:1607.02533")
def transform(
    model: nn.Module,
    *,
    brightness: Annotated[float | None, Param("Added to every pixel: 10/255.", low=-1, high=1)] = None,
    contrast: Annotated[float | None, Param("Factor of the distance from the mean.", low=0, high=100)] = None,
    blur: Annotated[float | None, Param("Standard deviation of a Gaussian blur, in pixels.", low=0, high=100)] = None,
    noise: Annotated[float | None, Param("Standard deviation of Gaussian noise, in pixels from 0 to 1.", low=0, high=1)] = None,
    resize: Annotated[
        float | None, Param("Smallest size after random resizing, as a share of the image; padded to it.", low=0.01, high=1)
    ] = None,
    photo: Annotated[
        float | None, Param("Strength of a print and photograph. [default: 1 without any other change]", low=0, high=3)
    ] = None,
    quality: Annotated[int | None, Param("JPEG quality.", low=1, high=100)] = None,
) -> nn.Module:
    alone = all(one is None for one in (brightness, contrast, blur, noise, resize, photo, quality))
    settings = Settings(brightness, contrast, blur, noise, resize, 1.0 if alone else photo, quality)
    return RandomlyFiltered(model, partial(changed, settings=settings))
