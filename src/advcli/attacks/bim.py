"""Basic iterative method: small signed gradient steps from the original image, clipped to the ball after each step.

x_{n+1} = Clip_{x,eps}(x_n + a sign(grad J(x_n, y))), a = 1/255, and ceil(min(eps + 4, 1.25 eps)) steps with eps in
grey levels: these are the defaults, and `--preset paper` holds them. `illc` is the method towards the least likely class.
"""

import math
from typing import Annotated

import torch
from torch import Tensor

from advcli.catalog.options import Objective, StepSize
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import Ball
from advcli.numerics.rng import SampleRNG
from advcli.search.best import Best, lengths, take
from advcli.search.goal import Goal
from advcli.search.victim import Victim


def automatic_steps(eps: float) -> int:
    """Kurakin's rule for the number of steps; in float32 8/255 is slightly above 8 grey levels, which is subtracted first."""
    levels = eps * 255
    return max(1, math.ceil(min(levels + 4, 1.25 * levels) - 1e-4))


@attack(
    family="iterated",
    kind="budget",
    norms=("linf",),
    access="gradient",
    presets={"paper": {"steps": None, "step_size": "1/255", "objective": "xent"}},
    paper="arXiv:1607.02533",
)
def bim(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    eps: Tensor,
    *,
    rng: SampleRNG,
    early_stop: bool,
    steps: Annotated[int | None, Param("Steps. [default: min(eps + 4, 1.25 eps) in grey levels]", low=1)] = None,
    step_size: StepSize = "1/255",
    objective: Objective = "xent",
) -> Tensor:
    wanted = torch.tensor([steps or automatic_steps(one) for one in eps.tolist()], device=x.device)
    step = lengths(step_size, eps, wanted)
    best, ball = Best(x, goal, early_stop), Ball(x, eps, "linf")
    for done in range(int(wanted.max()) if len(x) else 0):
        gradient, logits = victim.gradient(x, goal.loss(objective), best.done(goal))
        live = best.offer(x, logits, goal)
        victim, goal, ball, x, gradient, step, wanted = take(live, victim, goal, ball, x, gradient, step, wanted)
        if not len(x):
            break
        x = torch.where((done < wanted).view(-1, *[1] * (x.ndim - 1)), ball.along(x, gradient, step), x)
    if len(x):
        best.offer(x, victim(x), goal)
    return best.x
