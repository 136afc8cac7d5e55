"""Carlini and Wagner's l2 attack: minimizes the l2 norm plus a hinge loss on the margin, with Adam.

It minimizes ||d||_2^2 + c max(kappa - f(x + d), 0), where f is the margin of the goal's class over the best other class.
It differs from the paper in three ways. The search starts beyond the boundary, at the point that DeepFool steps and some
refinements find. It optimizes d itself, clipped to [0, 1], because with arctanh black and white pixels could not move. And
c is not searched by bisection over complete runs: it starts where the gradients of both terms have the same size, increases
after every step that misses the goal, and decreases after every step that reaches it. The closest point of all steps is kept.
"""

import math
from functools import partial
from typing import Annotated

import torch
from torch import Tensor

from advcli.catalog.options import Steps
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import TINY, per_sample, room_to
from advcli.numerics.planes import to_plane
from advcli.numerics.rng import SampleRNG
from advcli.search.best import take
from advcli.search.goal import Goal
from advcli.search.newton import Walk, nearest_boundary_point
from advcli.search.victim import Victim

MEAN, SQUARE = 0.9, 0.999  # what Adam keeps of its running means
RISE, CLIMB = 1.05, 1.1  # of c after a step: once the goal has been reached, and before
LAST = 0.01  # the last step size, as a share of the first


@attack(family="minimal", kind="minimal", norms=("l2",), access="gradient", within=1.05, paper="arXiv:1608.04644")
def cw(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    steps: Steps = 100,
    confidence: Annotated[float, Param("Required margin kappa, in logits.", low=0)] = 0.0,
    lr: Annotated[float, Param("Adam's step size, relative to the largest change of the starting point.", low=0)] = 0.2,
    refinements: Annotated[int, Param("Steps that refine the starting point, before Adam's.", low=0)] = 20,
) -> Tensor:
    origin, rows = x, torch.arange(len(x), device=x.device)
    closest = nearest_boundary_point(victim, x, goal, "l2", Walk(steps, refinements, confidence=confidence))
    x = closest.x.clone()
    slope, logits = victim.gradient(x, partial(goal.margin, confidence=confidence))
    c, rate = _start(slope, goal.margin(logits, confidence), origin, x, lr)
    able = rate > 0
    victim, goal, rows, origin, x, c, rate, slope, logits = take(able, victim, goal, rows, origin, x, c, rate, slope, logits)
    mean, square = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(steps if len(x) else 0):
        margin, reached = goal.margin(logits, confidence), goal.reached(logits, confidence)
        closest.offer(rows, x, reached)
        if step:
            c = torch.where(reached, c / RISE, c * torch.where(closest.distance[rows].isfinite(), RISE, CLIMB))
        gradient = 2 * (x - origin) - per_sample(c * (margin < 0), x) * slope
        mean, square = MEAN * mean + (1 - MEAN) * gradient, SQUARE * square + (1 - SQUARE) * gradient.square()
        unbiased = (mean / (1 - MEAN ** (step + 1))) / ((square / (1 - SQUARE ** (step + 1))).sqrt() + TINY)
        fading = LAST + (1 - LAST) * (1 + math.cos(math.pi * step / steps)) / 2
        x = (x - fading * per_sample(rate, x) * unbiased).clamp(0, 1)
        slope, logits = victim.gradient(x, partial(goal.margin, confidence=confidence))
    closest.offer(rows, x, goal.reached(logits, confidence))
    return closest.x


def _start(slope: Tensor, margin: Tensor, origin: Tensor, x: Tensor, lr: float) -> tuple[Tensor, Tensor]:
    """The c at which the gradients of both terms at x have equal size, and the step size.

    If x is the original, both are taken just beyond its linearised boundary.
    """
    away, _ = to_plane(slope, (-margin).clamp_min(TINY), room_to(slope, origin), "l2")
    moved = (x != origin).flatten(1).any(1)
    change = torch.where(per_sample(moved, x), x - origin, away)
    able = torch.where(room_to(slope, origin + change) > 0, slope, 0.0).flatten(1)
    c = 2 * change.flatten(1).norm(dim=1) / able.norm(dim=1).clamp_min(TINY)
    return c, lr * change.flatten(1).abs().amax(1)
