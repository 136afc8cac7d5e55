"""DeepFool: steps to the nearest boundary of the linearised model until the class changes, then steps back towards the image.

Every difference z_k - z_own to another class is linearised, and the shortest step r that brings one of them to zero inside
[0, 1] is taken: pixels that become black or white are fixed, and the other pixels move further. The point is x +
(1 + overshoot)(r_1 + ... + r_n). Beyond the boundary, a step goes half-way to the point at which the original would meet the
linearised boundary, as in FAB (arXiv:1907.02044), as long as that is much closer; the closest point is kept. With
`--refinements 0` it is the method of the paper. The first step compares all classes; later steps use the nearest one.
"""

from typing import Annotated, Literal

from torch import Tensor

from advcli.catalog.options import Steps
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from advcli.search.newton import Walk, nearest_boundary_point
from advcli.search.victim import Victim


@attack(
    family="minimal",
    kind="minimal",
    norms=("l2", "linf"),
    access="gradient",
    targeted=False,
    paper="arXiv:1511.04599",
)
def deepfool(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    early_stop: bool,
    norm: Annotated[Literal["l2", "linf"], Param("Norm of the distance.")] = "l2",
    steps: Steps = 50,
    overshoot: Annotated[float, Param("Factor by which the perturbation is lengthened: 0.02 is 2 %.", low=0, high=1)] = 0.02,
    candidates: Annotated[int, Param("Number of classes to compare: those with the largest logits.", low=1)] = 10,
    refinements: Annotated[
        int, Param("Largest number of steps after the boundary is crossed; with --no-early-stop all of them.", low=0)
    ] = 10,
) -> Tensor:
    return nearest_boundary_point(victim, x, goal, norm, Walk(steps, refinements, early_stop, overshoot, candidates)).x
