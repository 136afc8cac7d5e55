"""Momentum iterative method: steps along an accumulated sum of normalised gradients, which transfers better than PGD.

g_{n+1} = decay g_n + grad J(x_n) / mean|grad J(x_n)| and x_{n+1} = Project(x_n + a steepest(g_{n+1})), from the original
image: the sign for linf, the normalised sum for l2. A gradient that is exactly zero adds nothing to the sum.

Four options make it transfer further, alone or together. `--nesterov`: the gradient is taken at x_n + a decay g_n, and
`--scales M`: it is the mean over M copies x_n / 2^k (arXiv:1908.06281). `--diversity P`: with chance P the image is shrunk and
put on black at random first (arXiv:1803.06978). `--translation K`: the gradient is smoothed over shifts of up to K pixels
(arXiv:1904.02884). Each copy counts as a gradient; where gradients are taken elsewhere, each step asks for the point itself too,
which counts as a query.
"""

from collections.abc import Callable
from dataclasses import replace
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
from advcli.search.transfer import Transfer, smoothed
from advcli.search.victim import Victim


def evened(gradient: Tensor) -> Tensor:
    """The gradient divided by its mean absolute value; zero where that is zero."""
    mean = per_sample(gradient.flatten(1).abs().mean(1), gradient)
    return torch.where(mean > 0, gradient / mean, 0.0)


def mean_gradient(victim: Victim, x: Tensor, loss: Callable[[Tensor], Tensor], transfer: Transfer, rng: SampleRNG) -> Tensor:
    """The mean of the gradients at the views of each image; the search is not judged by these points."""
    total, unseen = torch.zeros_like(x), replace(victim, observer=None)
    for view, resampling, factor in transfer.views(x, rng):
        slope, _ = unseen.gradient(view, loss)
        total += factor * (resampling.back(slope) if resampling else slope)
    return total / transfer.scales


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
    nesterov: Annotated[bool, Param("Take the gradient at the point that the momentum leads to.")] = False,
    diversity: Annotated[float, Param("Chance of a gradient to see the image shrunk, at a random place.", low=0, high=1)] = 0.0,
    translation: Annotated[int, Param("Smooth the gradient over shifts of up to this many pixels.", low=0, high=100)] = 0,
    scales: Annotated[int, Param("Average the gradients of the image divided by 1, 2, 4, ...: so many.", low=1, high=16)] = 1,
) -> Tensor:
    transfer = Transfer(nesterov, diversity, translation, scales)
    ball, step = Ball(x, eps, norm), lengths(step_size, eps, steps)
    best, momentum = Best(x, goal, early_stop), torch.zeros_like(x)
    for number in range(steps):
        if transfer.looks_elsewhere:
            live = best.offer(x, victim(x), goal)
            victim, goal, ball, x, momentum, step, rng = take(live, victim, goal, ball, x, momentum, step, rng)
            ahead = x + decay * per_sample(step, x) * momentum if nesterov else x
            gradient = mean_gradient(victim, ahead, goal.loss(objective), transfer, rng.fork("step", number))
        else:
            gradient, logits = victim.gradient(x, goal.loss(objective), best.done(goal))
            live = best.offer(x, logits, goal)
            victim, goal, ball, x, gradient, momentum, step = take(live, victim, goal, ball, x, gradient, momentum, step)
        if not len(x):
            return best.x
        if translation:
            gradient = smoothed(gradient, translation)
        momentum = decay * momentum + evened(gradient)
        x = ball.along(x, momentum, step)
    best.offer(x, victim(x), goal)
    return best.x
