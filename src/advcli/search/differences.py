"""Gradients estimated from scores: differences of a loss between pairs of points around the image.

g = 1/(2 r K) sum_k (L(x + r u_k) - L(x - r u_k)) u_k for K random directions u_k. Every point is first projected into the
budget's ball, so that each query is an image that may be a result; beside the edge of the ball, or of black and white, a
difference becomes one-sided, which scales a pixel's share and keeps its sign.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from advcli.numerics.balls import Ball
from advcli.numerics.rng import SampleRNG
from advcli.search.best import take
from advcli.search.goal import Goal
from advcli.search.scores import Deepest, groups, logits_of
from advcli.search.victim import Victim

FEWEST = 3  # queries of a step with one pair
Draw = Callable[[SampleRNG, tuple[int, ...]], Tensor]  # (N, *shape) directions


def rademacher(rng: SampleRNG, shape: tuple[int, ...]) -> Tensor:
    """(N, *shape) random signs, 32 of each word."""
    size = torch.Size(shape).numel()
    words = rng.bits(-(-size // 32))
    bit = words[:, :, None] >> torch.arange(32, device=words.device) & 1
    return (2 * bit.flatten(1)[:, :size] - 1).to(torch.float32).view(-1, *shape)


def gaussian(rng: SampleRNG, shape: tuple[int, ...]) -> Tensor:
    """(N, *shape) standard normal numbers."""
    return rng.coarse(*shape)


@dataclass(frozen=True, slots=True)
class Differences:
    """How a gradient is estimated: from `pairs` pairs of points at `radius` along drawn directions, by the loss `objective`."""

    draw: Draw
    radius: float
    pairs: int
    objective: str

    def slope(
        self, victim: Victim, goal: Goal, ball: Ball, x: Tensor, rng: SampleRNG, best: Deepest, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The estimated gradients, and which images are done by one of the points, which all go to `best`.

        An image with few queries left uses fewer pairs, and keeps one query for the step that follows.
        """
        total, done = torch.zeros_like(x), torch.zeros_like(rows, dtype=torch.bool)
        pairs = ((victim.left() - 1) // 2).clamp(0, self.pairs).to(x.device)
        for part in groups(self.pairs, 2 * x[0].numel()):
            number = torch.arange(part.start, part.stop, device=x.device)
            asked = ((number < pairs[:, None]) & ~done[:, None]).repeat_interleave(2, 1)
            if not bool(asked.any()):
                break
            count = len(number)
            way = self.draw(rng.fork("pairs", part.start), (count, *x.shape[1:]))
            ends = around(ball, x, self.radius * way)
            logits = logits_of(victim, ends, asked)
            done |= best.offer(rows, ends, logits, goal, asked)
            loss = goal.copies(2 * count).loss(self.objective)(logits.flatten(0, 1)).view(-1, count, 2)
            difference = torch.where(asked[:, ::2], loss[:, :, 0] - loss[:, :, 1], 0.0)
            total += torch.einsum("nk,nkd->nd", difference, way.flatten(2)).view_as(x)
        return total / (2 * self.radius * pairs.clamp_min(1).view(-1, 1, 1, 1)), done


class Mover(Protocol):
    """How an image moves along an estimated gradient, with what it remembers of earlier ones; can be indexed by a mask."""

    def __getitem__(self, mask: Tensor) -> "Mover": ...

    def moved(self, ball: Ball, here: Tensor, slope: Tensor, step: int) -> tuple["Mover", Tensor]:
        """The mover after this step, counted from 1, and the images."""
        ...


def climbed(
    victim: Victim, goal: Goal, ball: Ball, estimate: Differences, mover: Mover, *, rng: SampleRNG, steps: int, early_stop: bool
) -> Tensor:
    """The deepest points found in some steps from the centres of the ball; the image after each step is asked too."""
    here, rows = ball.center.clone(), torch.arange(len(ball.center), device=ball.center.device)
    best, live = Deepest(ball.center, early_stop), torch.ones_like(rows, dtype=torch.bool)
    for step in range(1, steps + 1):
        live = live & (victim.left() >= FEWEST).to(here.device)
        victim, goal, ball, rng, rows, here, mover = take(live, victim, goal, ball, rng, rows, here, mover)
        if not len(rows):
            break
        slope, done = estimate.slope(victim, goal, ball, here, rng.fork("step", step), best, rows)
        state = take(~done, victim, goal, ball, rng, rows, here, mover, slope)
        victim, goal, ball, rng, rows, here, mover, slope = state
        if not len(rows):
            break
        mover, here = mover.moved(ball, here, slope, step)
        live = ~best.offer(rows, here[:, None], victim(here)[:, None], goal)
    return best.x


def around(ball: Ball, x: Tensor, moves: Tensor) -> Tensor:
    """(N, 2K, C, H, W) the points x + m and x - m of the ball for K moves of each image, side by side."""
    count = 2 * moves.shape[1]
    ends = torch.stack([x[:, None] + moves, x[:, None] - moves], 2).flatten(0, 2)
    copies = Ball(ball.center.repeat_interleave(count, 0), ball.radius.repeat_interleave(count), ball.norm)
    return copies.project(ends).view(len(x), count, *x.shape[1:])
