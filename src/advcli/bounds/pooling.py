"""Maxima over windows: y = max_i z_i, and weights below and above it.

Below: z_j, the value whose interval has the highest middle. Above: with m the value of the highest upper bound and c the
highest upper bound of the others, y <= c + max(z_m - c, 0), which lies under its chord on [l_m, u_m], so that
y <= c + (u_m - c) (z_m - l_m) / (u_m - l_m). In the middle of the intervals that is (u_m + c) / 2; no sum of the chords of
several z_i above the highest lower bound is lower there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from advcli.bounds.rows import Pair, Rows, Shape


@dataclass(frozen=True)
class Weights:
    """(N, C, q, H, W) the share of each of a window's q values, and (N, C, H, W) what is added."""

    below: Tensor
    above: Tensor
    offset: Tensor


@dataclass(frozen=True)
class MaxPool:
    """The maximum of every window; what lies outside the picture does not count."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    ceil: bool = False

    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x, self.kernel, self.stride, self.padding, self.dilation, self.ceil)

    @property
    def count(self) -> int:
        """The number of values of a window."""
        return self.kernel[0] * self.kernel[1]

    def windows(self, x: Tensor, outside: float) -> Tensor:
        """(N, C, q, H, W) the values of every window."""
        height, width = self.forward(x[:1, :1]).shape[2:]
        reach = [
            (count - 1) * s + d * (k - 1) + 1
            for count, s, d, k in zip((height, width), self.stride, self.dilation, self.kernel, strict=True)
        ]
        after = [r - p - size for r, p, size in zip(reach, self.padding, x.shape[2:], strict=True)]
        padded = functional.pad(x, (self.padding[1], after[1], self.padding[0], after[0]), value=outside)
        found = functional.unfold(padded, self.kernel, self.dilation, 0, self.stride)
        return found.view(len(x), x.shape[1], -1, height, width)

    def rivals(self, low: Tensor, high: Tensor) -> Tensor:
        """(N, C, q, H, W) which values of a window may be its maximum, where more than one may."""
        lows, highs = self.windows(low, -torch.inf), self.windows(high, -torch.inf)
        among = highs > lows.amax(2, keepdim=True)
        return among & (among.sum(2, keepdim=True) > 1)

    def weights(self, low: Tensor, high: Tensor) -> Weights:
        """The bounds of every window."""
        lows, highs = self.windows(low, -torch.inf), self.windows(high, -torch.inf)
        below = torch.zeros_like(lows).scatter(2, (lows + highs).max(2, keepdim=True).indices, 1.0)
        first = highs.max(2, keepdim=True).indices
        least, top = lows.gather(2, first), highs.gather(2, first)
        others = highs.scatter(2, first, -torch.inf).amax(2, keepdim=True)
        floor = torch.maximum(others, least)  # no lower than the least of z_m itself: then y is z_m
        bends = top > least
        slope = torch.where(bends, (top - floor) / torch.where(bends, top - least, 1.0), 1.0)
        above = torch.zeros_like(lows).scatter(2, first, slope)
        return Weights(below, above, (floor - slope * least)[:, :, 0])

    def backward(self, rows: Rows, parts: Sequence[Tensor], shape: Shape) -> Rows:
        """Rows of the output as rows of the input: `parts`, one for each place of a window, go to where it was taken from."""
        places = [(y * self.dilation[0], x * self.dilation[1]) for y in range(self.kernel[0]) for x in range(self.kernel[1])]
        size = (self.dilation[0] * (self.kernel[0] - 1) + 1, self.dilation[1] * (self.kernel[1] - 1) + 1)
        return rows.below(zip(places, parts, strict=True), self.stride, self.padding, shape, size)
