"""HopSkipJump: moves along the boundary towards the image, with gradients estimated from decisions only.

From a point beyond the boundary, for t = 1, 2, ...: bisect between the point and the image until it lies on the boundary;
estimate the boundary's normal from the decisions at B_t = b sqrt(t) points around it, sum_k (phi_k - mean phi) u_k with
phi = 1 where the goal is reached and -1 elsewhere; then step along it by ||x_t - x|| / sqrt(t), halved until the goal is
reached again. The starting point is the first random image that reaches the goal; the noise becomes coarser and stronger
from try to try.
"""

import math
from typing import Annotated

import torch
from torch import Tensor

from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import per_sample
from advcli.numerics.rng import SampleRNG
from advcli.search.best import take
from advcli.search.bisection import bisect_to_boundary, is_adversarial, random_start
from advcli.search.goal import Goal
from advcli.search.victim import Victim

AT_ONCE = 1 << 20  # numbers of a batch of directions: a network may hold hundreds of times as many on the way
FEWEST = 8  # queries that a direction is worth


@attack(family="decision", kind="minimal", norms=("l2",), access="labels", random=True, within=None, paper="arXiv:1904.02144")
def hopskipjump(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    steps: Annotated[int, Param("Rounds, each of a bisection, a gradient estimate and a step.", low=0)] = 10,
    evaluations: Annotated[
        int, Param("Queries of the first gradient estimate; the t-th uses sqrt(t) times as many.", low=2)
    ] = 100,
) -> Tensor:
    size = x[:1].numel()
    fine = 1 / (math.sqrt(size) * size)
    found, met = random_start(victim, goal, x, rng.fork("start"))
    best = torch.where(per_sample(met, x), found, x)
    rows = met.nonzero()[:, 0]
    victim, goal, x, point, rng = take(met, victim, goal, x, found, rng)
    for step in range(steps + 1):
        point = bisect_to_boundary(victim, goal, x, point, fine)
        best[rows] = point
        live = (victim.left() >= FEWEST).to(x.device)
        victim, goal, x, point, rng, rows = take(live, victim, goal, x, point, rng, rows)
        if not len(x) or step == steps:
            break
        far = (point - x).flatten(1).norm(dim=1)
        radius = 0.1 * torch.ones_like(far) if step == 0 else math.sqrt(size) * fine * far
        count = min(int(evaluations * math.sqrt(step + 1)), int(victim.left().min()) - 1)
        normal = direction(victim, goal, point, radius, rng.fork("step", step), count)
        point = stepped(victim, goal, point, normal, far / math.sqrt(step + 1))
    return best


def direction(victim: Victim, goal: Goal, point: Tensor, radius: Tensor, rng: SampleRNG, count: int) -> Tensor:
    """The unit direction in which the goal is reached, estimated from `count` decisions around each point."""
    pieces, step = [], max(1, AT_ONCE // (count * point[:1].numel()))
    for start in range(0, len(point), step):
        rows = torch.zeros(len(point), dtype=torch.bool, device=point.device)
        rows[start : start + step] = True
        who, aim, center, reach, draws = take(rows, victim, goal, point, radius, rng)
        drawn = draws.coarse(count, *center.shape[1:])
        drawn = drawn / drawn.flatten(2).norm(dim=2).view(len(center), count, 1, 1, 1)
        around = (center[:, None] + reach.view(-1, 1, 1, 1, 1) * drawn).clamp(0, 1)
        moved = (around - center[:, None]) / reach.view(-1, 1, 1, 1, 1)
        says = aim.copies(count).met(who.copies(count).sure_label(around.flatten(0, 1))).view(len(center), count)
        vote = 2 * says.to(point.dtype) - 1
        mean = vote.mean(1, keepdim=True)
        vote = torch.where(mean.abs() == 1, vote, vote - mean)
        pieces.append((vote[:, :, None] * moved.flatten(2)).sum(1).view_as(center))
    found = torch.cat(pieces)
    return found / per_sample(found.flatten(1).norm(dim=1).clamp_min(1e-12), found)


def stepped(victim: Victim, goal: Goal, point: Tensor, normal: Tensor, length: Tensor) -> Tensor:
    """The point after the longest halved step along the direction that still reaches the goal."""
    found, todo = point.clone(), torch.arange(len(point), device=point.device)
    while len(todo):
        further = (point + per_sample(length, point) * normal).clamp(0, 1)
        met = is_adversarial(victim, goal, further)
        found[todo[met]] = further[met]
        on = ~met & (victim.left() > 0).to(met.device) & (length > 1e-6)
        victim, goal, point, normal, length, todo = take(on, victim, goal, point, normal, length / 2, todo)
    return found
