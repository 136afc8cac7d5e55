"""Non-local means: every pixel becomes the mean of those around it, weighted by how much their surroundings look alike.

z(p) = sum_s w(p, s) x(p + s) / sum_s w(p, s) over a search window of shifts s, with w = exp(-d / h^2) and d the mean squared
difference between the patches around p and p + s, over pixels and channels, in grey levels of 255 (Buades, Coll and Morel
2005). Borders are reflected. The weights are those of OpenCV, which rounds to bytes besides, and goes through Lab for colours.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from advcli.numerics.resampling import reflected


def extended(x: Tensor, border: int) -> Tensor:
    """With a reflected border on every side."""
    rows, columns = (reflected(torch.arange(-border, size + border), size).to(x.device) for size in x.shape[2:])
    return x[:, :, rows][:, :, :, columns]


def nonlocal_means(x: Tensor, search: int, patch: int, strength: float) -> Tensor:
    """The weighted means over search windows of this side, with their exact gradient, recomputed row after row of shifts."""
    wide = extended(x, search // 2 + patch // 2)
    row = partial(one_row, wide, search, patch, (255 / strength) ** 2)
    if torch.is_grad_enabled() and x.requires_grad:
        row = partial(checkpoint, row, use_reentrant=False, preserve_rng_state=False)
    total, weight = torch.zeros_like(x), torch.zeros_like(x[:, :1])
    for down in range(search):
        more, share = row(down)
        total, weight = total + more, weight + share
    return total / weight


def one_row(wide: Tensor, search: int, patch: int, steepness: float, down: int) -> tuple[Tensor, Tensor]:
    """The weighted sum, and the weights, of the shifts by one number of pixels down and all to the side."""
    border = search - 1
    height, width = wide.shape[2] - border, wide.shape[3] - border  # with what patches reach beyond the image
    here = wide[:, :, search // 2 : search // 2 + height, search // 2 : search // 2 + width]
    half, total, weight = patch // 2, wide.new_zeros(()), wide.new_zeros(())
    for right in range(search):
        there = wide[:, :, down : down + height, right : right + width]
        apart = nn.functional.avg_pool2d((here - there).square().mean(1, keepdim=True), patch, 1)
        share = (-steepness * apart).exp()
        total = total + share * there[:, :, half : height - half, half : width - half]
        weight = weight + share
    return total, weight
