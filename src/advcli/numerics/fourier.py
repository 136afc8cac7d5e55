"""The frequencies of an image, and the share of each that a filter keeps.

With R the distance of a coefficient of the discrete Fourier transform from the mean (frequency zero), in cycles per
image, a low-pass of radius r keeps [R <= r] (ideal), exp(-R^2 / 2 r^2) (gaussian) or 1 / (1 + (R / r)^4)
(butterworth, of order two); the high-pass keeps the rest, so that both together give the image.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def low_mask(size: Sequence[int], radius: float, shape: str) -> Tensor:
    """(H, W // 2 + 1) the share of each frequency of a real image that a low-pass keeps; nothing below radius 0."""
    places = [torch.arange(n, dtype=torch.float64) for n in size]
    rows, columns = (torch.minimum(place, n - place) for place, n in zip(places, size, strict=True))
    far = rows[:, None] ** 2 + columns[: size[1] // 2 + 1] ** 2
    if radius < 0:
        return torch.zeros_like(far)
    if shape == "ideal" or radius == 0:
        return (far <= radius**2).to(far.dtype)
    return torch.exp(-far / (2 * radius**2)) if shape == "gaussian" else 1 / (1 + (far / radius**2) ** 2)


def passed(x: Tensor, mask: Tensor) -> Tensor:
    """The part of each channel that a mask keeps: linear, and so not limited to the pixel range."""
    kept = torch.fft.rfft2(x.double()) * mask.to(x.device)
    found: Tensor = torch.fft.irfft2(kept, s=x.shape[2:])
    return found.to(x.dtype)
