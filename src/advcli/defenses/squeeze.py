"""Feature squeezing: reduces the number of grey levels and applies a median filter, which removes small changes.

r(x) = rint(x (2^b - 1)) / (2^b - 1); the median of a window with reflected borders, the upper one if the window is even,
as in SciPy (1x2 is the filter of Wang and Zhang: the larger of a pixel and its left neighbour). The median has its exact
gradient (one pixel of the window is passed on); rounding passes the gradient straight through (BPDA).
"""

from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.errors import CommandError
from advcli.networks.filtered import Filtered, straight_through


def reduce_depth(x: Tensor, bits: int) -> Tensor:
    """Round to 2^bits grey levels."""
    levels = 2**bits - 1
    return straight_through((x * levels).round() / levels, x)


def mirrored(size: int, window: int, offset: int) -> Tensor:
    """(size,) the pixel that a window's offset reads, reflected at the borders: d c b a | a b c d | d c b a."""
    place = torch.arange(size) + offset - window // 2
    place = place % (2 * size)
    return torch.where(place < size, place, 2 * size - 1 - place)


def median(x: Tensor, height: int, width: int) -> Tensor:
    """The upper median of a window around every pixel (before it, if the window is even), each channel by itself."""
    rows = [mirrored(x.shape[2], height, k).to(x.device) for k in range(height)]
    columns = [mirrored(x.shape[3], width, k).to(x.device) for k in range(width)]
    window = torch.stack([x[:, :, row][:, :, :, column] for row in rows for column in columns])
    return window.sort(0).values[height * width // 2]


def window(text: str) -> tuple[int, int]:
    """`3` or `2x2`: height and width."""
    pieces = text.lower().split("x")
    if len(pieces) > 2 or not all(piece.isdecimal() and 0 < int(piece) < 100 for piece in pieces):
        raise CommandError(f"--median: {text!r} is not a window such as 2x2 or 3")
    return int(pieces[0]), int(pieces[-1])


def squeezed(x: Tensor, bits: int | None, size: tuple[int, int] | None) -> Tensor:
    x = median(x, *size) if size else x
    return reduce_depth(x, bits) if bits else x


@defense(family="filter", gradient="surrogate", paper="arXiv:1704.01155")
def squeeze(
    model: nn.Module,
    *,
    bits: Annotated[int | None, Param("Bits of each pixel. [default: 4 without --median]", low=1, high=8)] = None,
    median: Annotated[str | None, Param("Window of a median filter, applied first: 2x2, 3.", form="HxW")] = None,
) -> nn.Module:
    size = window(median) if median else None
    return Filtered(model, partial(squeezed, bits=bits or (None if size else 4), size=size))
