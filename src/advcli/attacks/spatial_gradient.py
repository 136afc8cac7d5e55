"""Rotates and shifts the image by gradient ascent: the first-order form of `spatial`.

p_{n+1} = clip(p_n + a sign(dJ(T(x; p_n)) / dp), -1, 1) from a random p_0, p the shift to the right, the shift down and the
rotation as shares of the largest ones. T is that of `spatial`: one bilinear resampling, black outside. As Engstrom et al. report,
the loss has many maxima in these three numbers: a grid finds more.
"""

from typing import Annotated

import torch
from torch import Tensor

from advcli.attacks.spatial import limits, moved
from advcli.catalog.options import Objective, Steps
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.rng import SampleRNG
from advcli.search.best import Best, take
from advcli.search.goal import Goal
from advcli.search.victim import Victim

REACH = 2.5  # of all steps together, in shares of the largest shift and rotation


@attack(family="spatial", kind="transform", norms=("none",), access="gradient", random=True, paper="arXiv:1712.02779")
def spatial_gradient(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    early_stop: bool,
    steps: Steps = 20,
    max_shift: Annotated[
        float | None,
        Param("Largest shift in pixels. [default: 3 for 28 pixels, other sizes in proportion, at least 1]", low=0, high=1000),
    ] = None,
    max_rot: Annotated[
        float | None, Param("Largest rotation in degrees. [default: 30; for images under 16 pixels, 15]", low=0, high=180)
    ] = None,
    objective: Objective = "xent",
) -> Tensor:
    shift, turn = limits(x, max_shift, max_rot)
    most = torch.tensor([shift, shift, turn], dtype=x.dtype, device=x.device)
    best, share = Best(x, goal, early_stop), (2 * rng.uniform(3) - 1).to(x)
    for _ in range(steps):
        place = share.detach().requires_grad_()
        point = moved(x, place * most)
        gradient, logits = victim.gradient(point.detach(), goal.loss(objective), best.done(goal))
        (slope,) = torch.autograd.grad(point, place, gradient)
        live = best.offer(point.detach(), logits, goal)
        victim, goal, x, share, slope = take(live, victim, goal, x, share, slope)
        if not len(x):
            return best.x
        share = (share + REACH / steps * slope.sign()).clamp(-1, 1)
    point = moved(x, share * most)
    best.offer(point, victim(point), goal)
    return best.x
