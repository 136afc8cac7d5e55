"""Feature squeezing: reduces the number of grey levels and smooths by medians or non-local means: small changes go.

r(x) = rint(x (2^b - 1)) / (2^b - 1); the median of a window with reflected borders, the upper one if the window is even,
as in SciPy (1x2 is the filter of Wang and Zhang: the larger of a pixel and its left neighbour); non-local means of a search
window, with patches and a strength in grey levels of 255 (11-3-4). The median comes first, the grey levels last. The median has
its exact gradient (one pixel of the window is passed on), and non-local means too; rounding passes the gradient straight
through (BPDA).
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.errors import CommandError
from advcli.networks.filtered import Filtered, straight_through
from advcli.numerics.nonlocal_means import nonlocal_means
from advcli.numerics.resampling import reflected


def reduce_depth(x: Tensor, bits: int) -> Tensor:
    """Round to 2^bits grey levels."""
    levels = 2**bits - 1
    return straight_through((x * levels).round() / levels, x)


def median(x: Tensor, height: int, width: int) -> Tensor:
    """The upper median of a window around every pixel (before it, if the window is even), each channel by itself."""
    rows, columns = (
        [reflected(torch.arange(size) + k - window // 2, size).to(x.device) for k in range(window)]
        for size, window in zip(x.shape[2:], (height, width), strict=True)
    )
    window = torch.stack([x[:, :, row][:, :, :, column] for row in rows for column in columns])
    return window.sort(0).values[height * width // 2]


def window(text: str) -> tuple[int, int]:
    """`3` or `2x2`: height and width."""
    pieces = text.lower().split("x")
    if len(pieces) > 2 or not all(piece.isdecimal() and 0 < int(piece) < 100 for piece in pieces):
        raise CommandError(f"--median: {text!r} is not a window such as 2x2 or 3")
    return int(pieces[0]), int(pieces[-1])


def nonlocal_of(text: str) -> tuple[int, int, int]:
    """`11-3-4`: sides of the search window and of the patches, both odd, and strength."""
    pieces = [int(piece) if piece.isdecimal() and len(piece) < 4 else 0 for piece in text.split("-")]
    if len(pieces) != 3 or not all(0 < piece < 256 for piece in pieces) or pieces[0] % 2 == 0 or pieces[1] % 2 == 0:
        raise CommandError(f"--nlm: {text!r} is not an odd search window, an odd patch and a strength up to 255, such as 11-3-4")
    return pieces[0], pieces[1], pieces[2]


@dataclass(frozen=True, slots=True)
class Squeezer:
    """The steps of one squeezer, each None if it is left out."""

    bits: int | None = None
    median: tuple[int, int] | None = None
    nlm: tuple[int, int, int] | None = None


def squeezed(x: Tensor, by: Squeezer) -> Tensor:
    """The image after the median, non-local means, and the reduction of grey levels."""
    x = median(x, *by.median) if by.median else x
    x = nonlocal_means(x, *by.nlm) if by.nlm else x
    return reduce_depth(x, by.bits) if by.bits else x


@defense(family="filter", gradient="surrogate", paper="arXiv:1704.01155")
def squeeze(
    model: nn.Module,
    *,
    bits: Annotated[int | None, Param("Bits of each pixel. [default: 4 without --median and --nlm]", low=1, high=8)] = None,
    median: Annotated[str | None, Param("Window of a median filter, applied first: 2x2, 3.", form="HxW")] = None,
    nlm: Annotated[
        str | None, Param("Non-local means: search window, patch, and strength in grey levels of 255: 11-3-4.", form="N-N-N")
    ] = None,
) -> nn.Module:
    alone = not median and not nlm
    by = Squeezer(bits or (4 if alone else None), window(median) if median else None, nonlocal_of(nlm) if nlm else None)
    return Filtered(model, partial(squeezed, by=by))
