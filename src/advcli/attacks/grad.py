"""Gradient ascent on the target's logit, without sign or normalisation, as in Wang, Kunin and Pyron.

x_{n+1} = clip(x_n + a grad F_t(x_n)), from the image until it is classified as the target. F_t is the target's logit
(`--objective prob` or xent for the others); `--normalize l2` scales each step to length a. With `--no-early-stop` all steps
are taken, and the point with the largest margin is kept. The paper does not mention the clip; `--no-clip` leaves it out.
"""

from typing import Annotated, Literal

from torch import Tensor

from advcli.catalog.options import Objective, Steps
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import unit
from advcli.numerics.rng import SampleRNG
from advcli.search.best import Best, take
from advcli.search.goal import Goal
from advcli.search.victim import Victim


@attack(
    family="minimal",
    kind="minimal",
    norms=("l2",),
    access="gradient",
    targeted="only",
    within=None,
    unclipped=True,
    paper="Wang, Kunin and Pyron",
)
def grad(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    early_stop: bool,
    unclipped: bool = False,
    steps: Steps = 100,
    rate: Annotated[float, Param("Factor of the gradient in each step.", low=0)] = 0.05,
    objective: Objective = "logit",
    normalize: Annotated[Literal["none", "l2"], Param("Use the gradient unchanged, or scaled to length one.")] = "none",
) -> Tensor:
    best = Best(x, goal, early_stop)
    for _ in range(steps):
        gradient, logits = victim.gradient(x, goal.loss(objective))
        live = best.offer(x, logits, goal)
        victim, goal, x, gradient = take(live, victim, goal, x, gradient)
        if not len(x):
            return best.x
        x = x + rate * unit(gradient, "l2" if normalize == "l2" else "raw")
        x = x if unclipped else x.clamp(0, 1)
    best.offer(x, victim(x), goal)
    return best.x
