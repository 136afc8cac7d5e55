"""Soft nearest neighbours: follows the gradient of smooth distances to two classes, where a vote of neighbours has none.

The vote of k neighbours goes over to another class when its m-th nearest reference, m = [k/2] + 1, is nearer than the own
class's (k + 1 - m)-th. The hard rank is softened by a softmax over distances: d_c(x) = sum over the references i of class c of
w_i |x - r_i|^2 with w_i ~ exp(-| |x - r_i|^2 - q_c | / T), where q_c is the squared distance at that rank. The attack climbs
d_own - d_other for the nearest other class; with w held its gradient is 2 (sum w_j r_j - sum w_i r_i), other minus own. T is
--softness times the mean squared distance of the k neighbours. With --steps 1 --step-size eps it is one step, as in the
paper.
"""

from typing import Annotated

import torch
from torch import Tensor

from advcli.catalog.options import Norm, Steps, StepSize
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.networks.structure import References
from advcli.numerics.balls import TINY, Ball
from advcli.numerics.rng import SampleRNG
from advcli.search.best import Best, lengths, take
from advcli.search.goal import Goal
from advcli.search.victim import Victim


@attack(
    family="structure",
    kind="budget",
    norms=("linf", "l2", "l1"),
    access="structure",
    structure="references",
    within=None,
    paper="arXiv:1605.07277",
)
def knn(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    eps: Tensor,
    *,
    rng: SampleRNG,
    early_stop: bool,
    norm: Norm = "linf",
    steps: Steps = 40,
    step_size: StepSize = "2.5*eps/steps",
    softness: Annotated[
        float,
        Param(
            "Temperature of the softmax over distances, relative to the squared distance of the neighbours.", low=1e-4, high=1e4
        ),
    ] = 0.05,
) -> Tensor:
    references = victim.parts(References)
    ball, step, best = Ball(x, eps, norm), lengths(step_size, eps, steps), Best(x, goal, early_stop)
    for _ in range(steps):
        live = best.offer(x, victim(x), goal)
        victim, goal, ball, x, step = take(live, victim, goal, ball, x, step)
        if not len(x):
            return best.x
        x = ball.along(x, ascent(references, x, goal, softness), step)
    best.offer(x, victim(x), goal)
    return best.x


def ascent(references: References, x: Tensor, goal: Goal, softness: float) -> Tensor:
    """Half the gradient of the distance of the class to leave, minus that of the class to reach."""
    own = references.labels == goal.label[:, None]
    apart = squared_distances(references, x)
    width = softness * apart.topk(references.neighbours, largest=False).values.mean(1, keepdim=True).clamp_min(TINY)
    most = references.neighbours // 2 + 1
    least = references.neighbours + 1 - most
    ranks = (least, most) if goal.targeted else (most, least)  # of the other class, and of the goal's
    at_other, number = _nearest_class(references, apart, own, ranks[0])
    other = references.labels == number[:, None]
    at_own = _at_rank(apart.masked_fill(~own, torch.inf), ranks[1])
    ways = [_mean(references, (apart - at).abs() / width, some) for at, some in ((at_other, other), (at_own, own))]
    found = ways[1] - ways[0] if goal.targeted else ways[0] - ways[1]
    return found.to(x).view_as(x)


def squared_distances(references: References, x: Tensor) -> Tensor:
    """(N, R) in double precision, as the vote has them."""
    scale = references.weight.double().sqrt()
    asked, stored = x.flatten(1).double() * scale, references.images.double() * scale
    return (asked.square().sum(1)[:, None] - 2 * asked @ stored.T + stored.square().sum(1)).clamp_min(0)


def _at_rank(apart: Tensor, rank: int) -> Tensor:
    """(N, 1) the squared distance at a rank, or the largest one of fewer references."""
    near = apart.topk(min(rank, apart.shape[1]), largest=False).values
    return near.masked_fill(near.isinf(), -torch.inf).amax(1, keepdim=True)


def _nearest_class(references: References, apart: Tensor, own: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(N, 1) the smallest squared distance at a rank among the classes beside the goal's, and (N,) that class."""
    classes = torch.unique(references.labels)
    each = [_at_rank(apart[:, references.labels == one], rank) for one in classes]
    theirs = [own[:, references.labels == one].any(1, keepdim=True) for one in classes]
    far, place = torch.cat(each, 1).masked_fill(torch.cat(theirs, 1), torch.inf).min(1, keepdim=True)
    return far, classes[place[:, 0]]


def _mean(references: References, energy: Tensor, some: Tensor) -> Tensor:
    """The weighted mean of some of the references, each pixel with the weight of its difference; zero of none."""
    weight = (-energy).masked_fill(~some, -torch.inf).softmax(1).nan_to_num()
    return weight @ (references.images * references.weight).double()
