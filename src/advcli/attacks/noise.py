"""Random noise of the given size: the baseline that every attack must beat, without any access to the model.

`uniform` draws from the whole ball. `gaussian` draws a normal direction: for linf with a standard deviation of half the
budget, clipped at the budget, and for l2 scaled to the full length of the budget.
"""

from typing import Annotated, Literal

from torch import Tensor

from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import GEOMETRY, per_sample
from advcli.numerics.rng import SampleRNG, tree_sum
from advcli.search.goal import Goal
from advcli.search.victim import Victim


@attack(family="noise", kind="direction", norms=("linf", "l2"), access="none", targeted=False, random=True)
def noise(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    norm: Annotated[Literal["linf", "l2"], Param("Norm of the budget.")] = "linf",
    distribution: Annotated[Literal["uniform", "gaussian"], Param("Distribution of the noise.")] = "uniform",
) -> Tensor:
    shape = tuple(x.shape[1:])
    if distribution == "uniform":
        return GEOMETRY[norm].random(rng, shape)
    drawn = rng.normal(*shape)
    return (drawn / 2).clamp(-1, 1) if norm == "linf" else drawn / per_sample(tree_sum(drawn.square().flatten(1)).sqrt(), drawn)
