"""JPEG compression and decompression of the image, which removes small changes.

Every lossy step (colours Y Cb Cr, colour at half resolution, 8x8 cosine transform, quantisation, and back) is computed
here in the integers of libjpeg (ITU T.81; Loeffler, Ligtenberg, Moschytz 1989), and gives the same bytes as Pillow. All
numbers are whole and below 2^53, so that the result is the same in any batch and on any device. In the backward pass, the
linear steps have their own gradient; rounding to whole numbers and clipping to the pixel range pass the gradient straight
through (BPDA, arXiv:1802.00420); quantisation has the slope 1/2 + 6 d^2 at a distance d from the nearest step, one on
average, so that an attack learns which changes survive.
"""

from functools import partial
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.errors import CommandError
from advcli.networks.filtered import Filtered, straight_through

LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *((99,) * 8,) * 4,
)  # fmt: skip
# The 8x8 cosine transform in units of 2^-13: sqrt(2) cos((2x + 1) u pi / 16), summed from the factors of the fast one.
COSINES = (
    (8192, 8192, 8192, 8192), (11363, 9633, 6437, 2260), (10703, 4433, -4433, -10703), (9633, -2259, -11362, -6436),
    (8192, -8192, -8192, 8192), (6437, -11362, 2261, 9633), (4433, -10704, 10704, -4433), (2260, -6436, 9633, -11363),
)  # fmt: skip
TO_COLOUR = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))  # of R, G, B, in units of 2^-16
FROM_RED, FROM_BLUE, TO_GREEN = 91881, 116130, (22554, 46802)  # of Cr; of Cb; of Cb and Cr, taken off


def whole(x: Tensor) -> Tensor:
    """Round down; the gradient passes straight through."""
    return straight_through(x.floor(), x)


def within(x: Tensor) -> Tensor:
    """Clip to bytes; the gradient passes straight through."""
    return straight_through(x.clamp(0, 255), x)


def steps(base: tuple[tuple[int, ...], ...], quality: int, like: Tensor) -> Tensor:
    """(8, 8) the quantisation steps at a quality."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((like.new_tensor(base) * scale + 50) / 100).floor().clamp(1, 255)


def transform(like: Tensor) -> Tensor:
    """(8, 8) the cosine transform; its even rows are symmetric, its odd ones antisymmetric."""
    left = like.new_tensor(COSINES)
    sign = like.new_tensor([1.0, -1.0]).repeat(4)[:, None]
    return torch.cat([left, sign * left.flip(1)], 1)


def coded(plane: Tensor, step: Tensor) -> Tensor:
    """(N, H, W) bytes as they come back from blocks of quantised frequencies."""
    n, height, width = plane.shape
    matrix, wide = transform(plane), padded(plane, -height % 8, -width % 8)
    rows, columns = wide.shape[1] // 8, wide.shape[2] // 8
    blocks = wide.view(n, rows, 8, columns, 8).transpose(2, 3) - 128
    frequencies = whole((matrix @ whole((blocks @ matrix.T + 2**10) / 2**11) + 2**14) / 2**15)  # eightfold
    kept = quantised(frequencies, 8 * step) * step
    back = whole((whole((matrix.T @ kept + 2**10) / 2**11) @ matrix + 2**17) / 2**18)
    return within(back + 128).transpose(2, 3).reshape(wide.shape)[:, :height, :width]


def quantised(frequencies: Tensor, step: Tensor) -> Tensor:
    """The nearest number of steps, halves away from zero."""
    nearest = (frequencies.sign() * ((frequencies.abs() + step / 2) / step).floor()).detach()
    d = frequencies / step - nearest
    return straight_through(nearest, nearest + d / 2 + 2 * d**3)  # of about the same size, so that nothing is rounded


def padded(plane: Tensor, below: int, beside: int) -> Tensor:
    """Repeat the last row and the last column."""
    return nn.functional.pad(plane[:, None], (0, beside, 0, below), mode="replicate")[:, 0]


def halved(plane: Tensor) -> Tensor:
    """The mean of every 2x2 pixels, rounded down and up in turn."""
    _, height, width = plane.shape
    wide = padded(plane, -height % 2, -width % 16)
    total = wide[:, ::2, ::2] + wide[:, ::2, 1::2] + wide[:, 1::2, ::2] + wide[:, 1::2, 1::2]
    return whole((total + plane.new_tensor([1, 2]).repeat(total.shape[2] // 2)) / 4)


def doubled(plane: Tensor, height: int, width: int) -> Tensor:
    """Every pixel becomes four; each is three quarters of it and one quarter of its neighbour, along both directions."""
    if plane.shape[2] <= 2:
        return plane.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :height, :width]
    edged = nn.functional.pad(plane[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    own = 3 * edged[:, 1:-1]
    rows = torch.stack([own + edged[:, :-2], own + edged[:, 2:]], 2).flatten(1, 2)
    own = 3 * rows[:, :, 1:-1]
    left, right = whole((own + rows[:, :, :-2] + 8) / 16), whole((own + rows[:, :, 2:] + 7) / 16)
    return torch.stack([left, right], 3).flatten(2)[:, :height, :width].contiguous()


def compressed(x: Tensor, quality: int, chroma: str) -> Tensor:
    """Images after JPEG compression and decompression."""
    _, channels, height, width = x.shape
    if channels not in (1, 3):
        raise CommandError(f"jpeg takes grey and colour images; these have {channels} channels")
    pixels = within(whole(x.double() * 255 + 0.5))
    light, colour = steps(LUMINANCE, quality, pixels), steps(CHROMINANCE, quality, pixels)
    if channels == 1:
        return (coded(pixels[:, 0], light) / 255).to(x.dtype)[:, None]
    parts = torch.einsum("kc,nchw->knhw", pixels.new_tensor(TO_COLOUR), pixels)
    y = coded(whole((parts[0] + 2**15) / 2**16), light)
    tints = [whole((part + 2**23 + 2**15 - 1) / 2**16) for part in parts[1:]]
    if chroma == "half":
        size = -(-height // 2), -(-width // 2)
        tints = [doubled(coded(halved(tint), colour)[:, : size[0], : size[1]], height, width) for tint in tints]
    else:
        tints = [coded(tint, colour) for tint in tints]
    cb, cr = tints[0] - 128, tints[1] - 128
    shifts = (FROM_RED * cr, -TO_GREEN[0] * cb - TO_GREEN[1] * cr, FROM_BLUE * cb)
    found = torch.stack([within(y + whole((shift + 2**15) / 2**16)) for shift in shifts], 1)
    return (found / 255).to(x.dtype)


@defense(family="filter", gradient="surrogate", paper="arXiv:1608.00853")
def jpeg(
    model: nn.Module,
    *,
    quality: Annotated[int, Param("JPEG quality.", low=1, high=100)] = 75,
    chroma: Annotated[
        Literal["half", "full"], Param("Resolution of the colour channels: half (4:2:0) or full (4:4:4).")
    ] = "half",
) -> nn.Module:
    return Filtered(model, partial(compressed, quality=quality, chroma=chroma))
