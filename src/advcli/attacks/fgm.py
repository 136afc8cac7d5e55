"""Fast gradient method: one step along the gradient, normalised in l2 or l1, or raw.

l2: x + eps g / ||g||_2. l1: the budget is spent on the pixels with the largest |g|, each until it is black or white.
raw: x + eps g; here eps scales the gradient and is no bound. `--no-clip` leaves out the clip to [0, 1] of l2 and raw.
"""

from typing import Annotated, Literal

from torch import Tensor

from advcli.catalog.options import Objective
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import unit
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from advcli.search.victim import Victim


@attack(
    family="one step", kind="direction", norms=("l2", "l1", "raw"), access="gradient", unclipped=True, paper="arXiv:1412.6572"
)
def fgm(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    norm: Annotated[Literal["l2", "l1", "raw"], Param("Norm of the budget; raw scales the gradient.")] = "l2",
    objective: Objective = "xent",
) -> Tensor:
    gradient, _ = victim.gradient(x, goal.loss(objective))
    return unit(gradient, norm)
