"""Directed gradient sign method: signed gradient steps on loss(target) minus loss(true class).

L = J(x + d, y_desired) - J(x + d, y_true) = z_true - z_desired: the log-sum-exp terms cancel, so its gradient does not
vanish. d_0 = 0, d_{n+1} = clip(d_n - a sign(grad L), -eps, eps), and x + d stays within [0, 1], which the
paper does not mention: `--no-clip` leaves it out.
"""

from collections.abc import Callable

from torch import Tensor

from advcli.catalog.options import Steps, StepSize
from advcli.catalog.registry import attack
from advcli.numerics.balls import Ball
from advcli.numerics.losses import logit
from advcli.numerics.rng import SampleRNG
from advcli.search.best import Best, lengths, take
from advcli.search.goal import Goal
from advcli.search.victim import Victim


def difference(goal: Goal) -> Callable[[Tensor], Tensor]:
    """-L = z_desired - z_true."""
    return goal.climb(lambda logits: logit(logits, goal.own) - logit(logits, goal.label))


@attack(
    family="iterated",
    kind="budget",
    norms=("linf",),
    access="gradient",
    targeted="only",
    unclipped=True,
    paper="Donoghue, Lines and Pereira",
)
def dgsm(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    eps: Tensor,
    *,
    rng: SampleRNG,
    early_stop: bool,
    unclipped: bool = False,
    steps: Steps = 40,
    step_size: StepSize = "eps/10",
) -> Tensor:
    ball, step, best = Ball(x, eps, "linf", clip=not unclipped), lengths(step_size, eps, steps), Best(x, goal, early_stop)
    for _ in range(steps):
        gradient, logits = victim.gradient(x, difference(goal), best.done(goal))
        live = best.offer(x, logits, goal)
        victim, goal, ball, x, gradient, step = take(live, victim, goal, ball, x, gradient, step)
        if not len(x):
            return best.x
        x = ball.along(x, gradient, step)
    best.offer(x, victim(x), goal)
    return best.x
