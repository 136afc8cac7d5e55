"""Bilinear resampling of images at places that differ from image to image, and reflection at their borders."""

import torch
from torch import Tensor, nn


def reflected(place: Tensor, size: int) -> Tensor:
    """The pixel that a place beyond the borders reads: d c b a | a b c d | d c b a."""
    place = place % (2 * size)
    return torch.where(place < size, place, 2 * size - 1 - place)


def sampled(x: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """(N, C, P) bilinear values at P places, with a border of one black pixel."""
    height, width = x.shape[2:]
    top, left = row.floor().clamp_max(height - 1), column.floor().clamp_max(width - 1)
    low, far = (row - top).to(x.dtype)[:, None], (column - left).to(x.dtype)[:, None]
    place = ((top + 1) * (width + 2) + left + 1).long()[:, None].expand(-1, x.shape[1], -1)
    framed = nn.functional.pad(x, (1, 1, 1, 1)).flatten(2)
    here, right, below, across = (framed.gather(2, place + step) for step in (0, 1, width + 2, width + 3))
    return (1 - low) * ((1 - far) * here + far * right) + low * ((1 - far) * below + far * across)


def resized(x: Tensor, share: Tensor, place: Tensor) -> Tensor:
    """Each image shrunk to a share (N,) of its sides, in whole pixels, at a place (N, 2), from 0 to 1, of a black frame."""
    inside, sources = [], []
    for side, where in zip(x.shape[2:], place.to(torch.float64).unbind(1), strict=True):
        small = (share.to(torch.float64) * side).round().clamp_min(1)
        start = (where * (side - small + 1)).floor().clamp_max(side - small)
        target = torch.arange(side, dtype=torch.float64, device=x.device) - start[:, None]
        inside.append((target >= 0) & (target < small[:, None]))
        sources.append(((target + 0.5) * (side / small)[:, None] - 0.5).clamp(0, side - 1))
    (row, column), (height, width) = sources, x.shape[2:]
    shape = (len(x), height, width)
    found = sampled(x, row[:, :, None].expand(shape).flatten(1), column[:, None].expand(shape).flatten(1)).view_as(x)
    return torch.where((inside[0][:, :, None] & inside[1][:, None])[:, None], found, 0)


def warped(x: Tensor, corners: Tensor) -> Tensor:
    """Each image in another perspective: its corners are read at `corners` (N, 4, 2), clockwise, row and column from 0 to 1.

    The projective map of the unit square onto a quadrangle (Heckbert 1989); what lies outside the image repeats its edge.
    """
    height, width = x.shape[2:]
    first, second, third, fourth = corners.to(torch.float64).unbind(1)
    skew, down, across = first - second + third - fourth, fourth - third, second - third
    area = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
    g = ((skew[:, 0] * down[:, 1] - skew[:, 1] * down[:, 0]) / area)[:, None]
    h = ((across[:, 0] * skew[:, 1] - across[:, 1] * skew[:, 0]) / area)[:, None]
    right, below = second - first + g * second, fourth - first + h * fourth
    v = (torch.arange(height, dtype=torch.float64, device=x.device) + 0.5).repeat_interleave(width) / height
    u = (torch.arange(width, dtype=torch.float64, device=x.device) + 0.5).repeat(height) / width
    depth = g * u + h * v + 1
    places = (right[:, :, None] * u + below[:, :, None] * v + first[:, :, None]) / depth[:, None]
    row, column = places[:, 0] * height - 0.5, places[:, 1] * width - 0.5
    return sampled(x, row.clamp(0, height - 1), column.clamp(0, width - 1)).view_as(x)
