"""Ascent in the l1 ball: sign steps along a few pixels, ever fewer while the best point grows sparser.

A step of l1 length a goes along the signs of the largest gradients, a share of all pixels that can still move. At every
checkpoint the share is set to two thirds of the pixels that the best point changes. If these have become fewer since the last
one, the ascent goes on from the best point with a = eps again, otherwise with a / 1.5, but no less than eps / 10.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from advcli.numerics.balls import Ball, per_sample, room_to

FIRST = 0.2  # of the pixels
FEWER = 1.5  # times fewer pixels than the best point changes; shorter steps where it has not grown sparser
SPARSER = 0.95  # of the pixels that it changed at the last checkpoint
SHORTEST = 0.1  # of the first step


def changed(x: Tensor, ball: Ball) -> Tensor:
    """(N,) how many pixels differ from the centre."""
    return (x != ball.center).flatten(1).sum(1).to(x.dtype)


@dataclass(slots=True)
class SparseAscent:
    """The state of the ascent of every image; can be indexed by a mask."""

    x: Tensor
    gradient: Tensor
    top: Tensor  # the best point, its gradient and its value
    top_gradient: Tensor
    top_value: Tensor
    step: Tensor
    pixels: Tensor  # that a step goes along
    before: Tensor  # pixels that the best point changed at the last checkpoint

    @classmethod
    def start(cls, ball: Ball, x: Tensor, gradient: Tensor, value: Tensor, *, first: bool) -> "SparseAscent":
        """From a first point, of which nothing is known, or from the best of another ball."""
        size = torch.full_like(value, x[0].numel())
        before = size if first else changed(x, ball)
        return cls(x, gradient, x, gradient, value, ball.radius, FIRST * size if first else before / FEWER, before)

    def __getitem__(self, mask: Tensor) -> "SparseAscent":
        return SparseAscent(**{one.name: getattr(self, one.name)[mask] for one in fields(self)})

    def move(self, ball: Ball) -> Tensor:
        """The next point."""
        free = torch.where(room_to(self.gradient, self.x) > 0, self.gradient, 0.0)
        size = free.flatten(1).abs()
        count = self.pixels.long().clamp(1, size.shape[1])
        least = size.sort(1, descending=True).values.gather(1, count[:, None] - 1)
        signs = torch.where(size >= least, free.flatten(1).sign(), 0.0)
        along = signs / signs.abs().sum(1, keepdim=True).clamp_min(1)
        return ball.project(self.x + per_sample(self.step, self.x) * along.view_as(self.x))

    def arrive(self, ball: Ball, x: Tensor, gradient: Tensor, value: Tensor, *, checkpoint: bool) -> None:
        """Take a new point; at a checkpoint the sparsity and the step are set anew."""
        higher = value > self.top_value
        self.top = torch.where(per_sample(higher, x), x, self.top)
        self.top_gradient = torch.where(per_sample(higher, x), gradient, self.top_gradient)
        self.top_value = torch.where(higher, value, self.top_value)
        self.x, self.gradient = x, gradient
        if not checkpoint:
            return
        now = changed(self.top, ball)
        sparser = now < SPARSER * self.before
        self.step = torch.where(sparser, ball.radius, (self.step / FEWER).maximum(SHORTEST * ball.radius))
        self.x = torch.where(per_sample(sparser, x), self.top, x)
        self.gradient = torch.where(per_sample(sparser, x), self.top_gradient, gradient)
        self.pixels, self.before = now / FEWER, now
