"""Fast gradient sign method: one step of length eps along the sign of the gradient.

x' = x + eps sign(grad_x J(x, y)); for a target, minus the loss of the target. With `--objective logit` and a target it is
the form of Wang, Kunin and Pyron, x + eps sign(grad_x F_t(x)). A pixel whose gradient is exactly zero is not changed, or with
`--sign-zero random` goes up or down by chance. x' is clipped to [0, 1], which the paper does not do: `--no-clip` leaves it as
it is.
"""

from typing import Annotated, Literal

import torch
from torch import Tensor

from advcli.catalog.options import Objective
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import unit
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from advcli.search.victim import Victim


@attack(family="one step", kind="direction", norms=("linf",), access="gradient", unclipped=True, paper="arXiv:1412.6572")
def fgsm(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    objective: Objective = "xent",
    sign_zero: Annotated[
        Literal["keep", "random"], Param("A pixel whose gradient is exactly zero: keep it, or draw its sign.")
    ] = "keep",
) -> Tensor:
    gradient, _ = victim.gradient(x, goal.loss(objective))
    found = unit(gradient, "linf")
    if sign_zero == "random":
        found = torch.where(found == 0, torch.where(rng.fork("sign").uniform(*x.shape[1:]) < 0.5, -1.0, 1.0), found)
    return found
