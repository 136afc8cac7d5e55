"""Projected gradient descent: gradient steps from a random point of the ball, each projected back into the ball.

x_{n+1} = Project(x_n + a steepest(grad J(x_n, y))): the sign for linf, the normalised gradient for l2, and for l1 the
pixels with the largest gradient. It keeps the best point of all steps, not the last one.
"""

from typing import Annotated

from torch import Tensor

from advcli.catalog.options import Norm, Objective, Steps, StepSize
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import Ball
from advcli.numerics.rng import SampleRNG
from advcli.search.best import Best, lengths, take
from advcli.search.goal import Goal
from advcli.search.victim import Victim


@attack(
    family="iterated",
    kind="budget",
    norms=("linf", "l2", "l1"),
    access="gradient",
    random=True,
    paper="arXiv:1706.06083",
)
def pgd(
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
    objective: Objective = "xent",
    random_start: Annotated[bool, Param("Start at a random point of the ball, or at the image.")] = True,
) -> Tensor:
    ball, step = Ball(x, eps, norm), lengths(step_size, eps, steps)
    if random_start:
        x = ball.random_point(rng)
    best = Best(x, goal, early_stop)
    for _ in range(steps):
        gradient, logits = victim.gradient(x, goal.loss(objective), best.done(goal))
        live = best.offer(x, logits, goal)
        victim, goal, ball, x, gradient, step = take(live, victim, goal, ball, x, gradient, step)
        if not len(x):
            return best.x
        x = ball.along(x, gradient, step)
    best.offer(x, victim(x), goal)
    return best.x
