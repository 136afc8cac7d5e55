"""Maxima over windows: y = max_i z_i, and weights below and above it.

Below: z_j of the largest lower bound l_j. Above, with L = l_j, there are two bounds. The maximum is at least L, so that
y <= L + sum_i max(z_i - L, 0), and each term lies under its chord on [l_i, u_i]. And with m the value that is highest by its
upper bound and c the highest upper bound of the others, y <= c + max(z_m - c, 0), which lies under one chord. Each window
takes the one that is lower in the middle of its intervals.
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
        base, best = lows.max(2, keepdim=True)
        below = torch.zeros_like(lows).scatter(2, best, 1.0)
        over = torch.where(lows.isinf(), 0.0, (highs - base).clamp_min(0))  # of z_i above L
        width = torch.where(over > 0, highs - lows, 1.0)
        chords = over / width
        chords = torch.where(below > 0, 1.0, chords)  # of z_j itself, which is never below L
        floor = torch.where(lows.isinf(), 0.0, lows)
        added = base - (chords * floor).sum(2, keepdim=True)
        two = highs.topk(min(2, highs.shape[2]), 2)
        first = two.indices[:, :, :1]
        second = two.values[:, :, 1:2] if highs.shape[2] > 1 else base
        least = lows.gather(2, first)
        second = torch.maximum(second, least)
        top = two.values[:, :, :1]
        bends = top > least
        slope = torch.where(bends, (top - second) / torch.where(bends, top - least, 1.0), 1.0)
        alone = torch.zeros_like(lows).scatter(2, first, slope)
        middle = base + over.sum(2, keepdim=True) / 2
        take = second + (top - second) / 2 < middle
        offset = torch.where(take, second - slope * least, added)
        return Weights(below, torch.where(take, alone, chords), offset[:, :, 0])

    def backward(self, rows: Rows, parts: Sequence[Tensor], shape: Shape) -> Rows:
        """Rows of the output as rows of the input: `parts`, one for each place of a window, go to where it was taken from."""
        places = [(y * self.dilation[0], x * self.dilation[1]) for y in range(self.kernel[0]) for x in range(self.kernel[1])]
        size = (self.dilation[0] * (self.kernel[0] - 1) + 1, self.dilation[1] * (self.kernel[1] - 1) + 1)
        return rows.below(zip(places, parts, strict=True), self.stride, self.padding, shape, size)
