"""Images that a short descent of the margin breaks within their ball: no bound proves those, so none needs to be computed.

x <- project(x - a g(x)), g the steepest direction of z_y - max z_k, the highest logit of another class, a falling to zero.
"""

import torch
from torch import Tensor

from advcli.bounds.graph import Graph
from advcli.bounds.region import Region
from advcli.numerics.balls import Ball

STEPS = 12
FIRST = 0.5  # of the radius, the length of the first step


def broken(graph: Graph, region: Region, labels: Tensor) -> Tensor:
    """(N,) whether a point of the ball was found that another class has, in exact arithmetic."""
    found = torch.zeros_like(labels, dtype=torch.bool)
    balls = Ball(region.center, torch.full_like(labels, region.radius, dtype=torch.float64), region.norm)
    left, x = torch.arange(len(labels), device=labels.device), region.center
    for count in range(STEPS + 1):
        margin, slope = _margin(graph, x, labels[left])
        found[left[margin <= 0]] = True
        stands = margin > 0
        if count == STEPS or not bool(stands.any()):
            break
        left, x, slope = left[stands], x[stands], slope[stands]
        ball = balls[left]
        x = ball.along(x, -slope, FIRST * (1 - count / STEPS) * ball.radius)
    return found


def _margin(graph: Graph, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) z_y minus the highest other logit, and its gradient."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = graph.forward(x)
        others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
        margin = logits.gather(1, labels[:, None])[:, 0] - others
        (slope,) = torch.autograd.grad(margin.sum(), x, allow_unused=True)
    return margin.detach(), torch.zeros_like(x) if slope is None else slope
