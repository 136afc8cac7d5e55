"""Fast gradient sign method: one step of length eps along the sign of the gradient.

x' = x + eps sign(grad_x J(x, y)); for a target, minus the loss of the target. With `--objective logit` and a target it is
the form of Wang, Kunin and Pyron, x + eps sign(grad_x F_t(x)). A pixel whose gradient is exactly zero is not changed.
"""

from torch import Tensor

from advcli.catalog.options import Objective
from advcli.catalog.registry import attack
from advcli.numerics.balls import unit
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from advcli.search.victim import Victim


@attack(family="one step", kind="direction", norms=("linf",), access="gradient", paper="arXiv:1412.6572")
def fgsm(victim: Victim, x: Tensor, goal: Goal, *, rng: SampleRNG, objective: Objective = "xent") -> Tensor:
    gradient, _ = victim.gradient(x, goal.loss(objective))
    return unit(gradient, "linf")
