"""Images that no bound can prove, found before bounds are computed: those that a short attack breaks within their ball.

x <- project(x - a g(x)), g the steepest direction of z_y - max z_k, the highest logit of another class, a falling to zero. The
values of hidden layers at these points lie within any sound intervals of theirs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from advcli.bounds.graph import Graph
from advcli.bounds.interval import Intervals
from advcli.bounds.region import Region
from advcli.numerics.balls import Ball

STEPS = 12
FIRST = 0.5  # of the radius, the length of the first step


@dataclass(frozen=True, slots=True)
class Search:
    """The result: (N,) whether a point of the ball is classified otherwise, and the range of values of each layer on the way."""

    broken: Tensor
    seen: Intervals


def search(graph: Graph, region: Region, labels: Tensor) -> Search:
    """Minimize the margin of each image within its ball, in float64."""
    ball = Ball(region.center, torch.full_like(labels, region.radius, dtype=torch.float64), region.norm)
    x = region.center
    margin, slope, values = _margin(graph, x, labels)
    broken, seen = margin <= 0, Intervals.of(values)
    for count in range(STEPS):
        if bool(broken.all()):
            break
        x = ball.along(x, -slope, FIRST * (1 - count / STEPS) * ball.radius)
        margin, slope, values = _margin(graph, x, labels)
        broken |= margin <= 0
        seen.include(values)
    return Search(broken, seen)


def _margin(graph: Graph, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """(N,) z_y minus the highest other logit, its gradient, and the values of all layers."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        values = graph.values(x)
        others = values[-1].scatter(1, labels[:, None], -torch.inf).amax(1)
        margin = values[-1].gather(1, labels[:, None])[:, 0] - others
        (slope,) = torch.autograd.grad(margin.sum(), x, allow_unused=True)
    return margin.detach(), torch.zeros_like(x) if slope is None else slope, [one.detach() for one in values]
