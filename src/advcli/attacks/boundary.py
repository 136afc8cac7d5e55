"""Boundary attack: a random walk along the decision boundary towards the image, which needs decisions only.

From a point beyond the boundary at distance d: a random step of length s d, orthogonal to the direction towards the image,
is projected onto the sphere of radius d around the image; then comes a step of length e d towards the image. The new point
is kept if it still reaches the goal. s grows while more than half of the steps along the sphere reach the goal, and shrinks
while fewer than a fifth do; e is adapted in the same way, by the share of complete steps that reach it.
"""

from typing import Annotated, cast

import torch
from torch import Tensor

from advcli.catalog.options import Steps
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import TINY, per_sample
from advcli.numerics.rng import SampleRNG
from advcli.search.best import take
from advcli.search.bisection import bisect_to_boundary, is_adversarial, random_start
from advcli.search.goal import Goal
from advcli.search.victim import Victim

FINE = 1e-3  # of the first way back
LOOK = 5  # every so many steps the step along the sphere is asked for by itself
MEMORY = 0.9  # of the running shares
FASTER = 1.3


class Pace:
    """The step length of every image, adapted to the share of its steps that reached the goal."""

    def __init__(self, start: float, low: float, high: float, like: Tensor) -> None:
        self.low, self.high = low, high
        self.length = torch.full((len(like),), start, device=like.device)
        self.share = torch.full((len(like),), (low + high) / 2, device=like.device)

    def saw(self, rows: Tensor, well: Tensor) -> None:
        """Lengthen the step where most steps reach the goal, shorten it where few do, and restart the count there."""
        share = MEMORY * self.share[rows] + (1 - MEMORY) * well.to(self.share)
        length = self.length[rows]
        length = torch.where(share > self.high, length * FASTER, torch.where(share < self.low, length / FASTER, length))
        turned = (share > self.high) | (share < self.low)
        self.length[rows] = length.clamp(1e-6, 1.0)
        self.share[rows] = torch.where(turned, torch.full_like(share, (self.low + self.high) / 2), share)


@attack(family="decision", kind="minimal", norms=("l2",), access="labels", random=True, within=None, paper="arXiv:1712.04248")
def boundary(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    steps: Steps = 1000,
    along: Annotated[float, Param("Initial step along the sphere, relative to the distance.", low=0, high=1)] = 0.05,
    towards: Annotated[float, Param("Initial step towards the image, relative to the distance.", low=0, high=1)] = 0.02,
) -> Tensor:
    found, met = random_start(victim, goal, x, rng.fork("start"))
    best = torch.where(per_sample(met, x), found, x)
    rows = met.nonzero()[:, 0]
    victim, goal, original, point, rng = take(met, victim, goal, x, found, rng)
    point = bisect_to_boundary(victim, goal, original, point, FINE)
    best[rows] = point
    sphere, closer = Pace(along, 0.2, 0.5, x), Pace(towards, 0.1, 0.25, x)
    for step in range(steps):
        live = (victim.left() > 1).to(x.device)
        victim, goal, original, point, rng, rows = take(live, victim, goal, original, point, rng, rows)
        if not len(rows):
            break
        beside = around(original, point, rng.fork("step", step).coarse(*x.shape[1:]), sphere.length[rows])
        nearer = (beside + per_sample(closer.length[rows], x) * (original - beside)).clamp(0, 1)
        if step % LOOK == 0:
            sphere.saw(rows, is_adversarial(victim, goal, beside.clamp(0, 1)))
        met = is_adversarial(victim, goal, nearer) & (length(nearer - original) < length(point - original))
        closer.saw(rows, met)
        point = torch.where(per_sample(met, x), nearer, point)
        best[rows] = point
    return best


def length(x: Tensor) -> Tensor:
    """(N,) l2 norms."""
    return cast(Tensor, torch.linalg.vector_norm(x.flatten(1), dim=1))


def around(original: Tensor, point: Tensor, drawn: Tensor, share: Tensor) -> Tensor:
    """A random orthogonal step from the point, projected back to the same distance from the original."""
    way = point - original
    far = length(way)
    unit = way / per_sample(far.clamp_min(TINY), way)
    drawn = drawn - per_sample((drawn * unit).flatten(1).sum(1), drawn) * unit
    side = way + per_sample(share * far / length(drawn).clamp_min(TINY), drawn) * drawn
    return original + per_sample(far / length(side).clamp_min(TINY), side) * side
