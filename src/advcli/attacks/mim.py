"""Momentum iterative method: steps along an accumulated sum of normalised gradients, which transfers better than PGD.

g_{n+1} = decay g_n + grad J(x_n) / mean|grad J(x_n)| and x_{n+1} = Project(x_n + a steepest(g_{n+1})), from the original
image: the sign for linf, the normalised sum for l2. A gradient that is exactly zero adds nothing to the sum.
"""

from typing import Annotated, Literal

import torch
from torch import Tensor

from advcli.catalog.options import Objective, Steps, StepSize
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import Ball, per_sample
from advcli.numerics.rng import SampleRNG
from advcli.search.best import Best, lengths, take
from advcli.search.goal import Goal
from advcli.search.victim import Victim


def evened(gradient: Tensor) -> Tensor:
    """The gradient divided by its mean absolute value; zero where that is zero."""
    mean = per_sample(gradient.flatten(1).abs().mean(1), gradient)
    return torch.where(mean > 0, gradient / mean, 0.0)


@attack(family="iterated", kind="budget", norms=("linf", "l2"), access="gradient", paper="arXiv:1710.06081")
def mim(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    eps: Tensor,
    *,
    rng: SampleRNG,
    early_stop: bool,
    norm: Annotated[Literal["linf", "l2"], Param("Norm of the budget.")] = "linf",
    steps: Steps = 10,
    step_size: StepSize = "eps/steps",
    decay: Annotated[float, Param("Weight of the previous gradients; 0 uses only the current one.", low=0, high=1)] = 1.0,
    objective: Objective = "xent",
) -> Tensor:
    ball, step = Ball(x, eps, norm), lengths(step_size, eps, steps)
    best, momentum = Best(x, goal, early_stop), torch.zeros_like(x)
    for _ in range(steps):
        gradient, logits = victim.gradient(x, goal.loss(objective), best.done(goal))
        live = best.offer(x, logits, goal)
        victim, goal, ball, x, gradient, momentum, step = take(live, victim, goal, ball, x, gradient, momentum, step)
        if not len(x):
            return best.x
        momentum = decay * momentum + evened(gradient)
        x = ball.along(x, momentum, step)
    best.offer(x, victim(x), goal)
    return best.x
