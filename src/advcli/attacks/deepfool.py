"""DeepFool: step to the nearest boundary of the linearised model, until it is crossed; then back towards the image.

Every lead z_k - z_own of another class is taken for linear, and the shortest of the steps r that bring one of them to
zero inside [0, 1] is taken: pixels that it makes black or white are held, and the others go further. The point is x +
(1 + overshoot)(r_1 + ... + r_n). Once the boundary is crossed, a step goes half-way to where the original itself
would meet the linearised boundary, as in FAB (arXiv:1907.02044), as long as that is much closer; the closest point is
kept. `--refinements 0` is the method of the paper. All classes are looked at from the image, and from then on the one
that was nearest.
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
    overshoot: Annotated[float, Param("Share by which the perturbation is lengthened.", low=0, high=1)] = 0.02,
    candidates: Annotated[int, Param("Classes to look at: those with the largest scores.", low=1)] = 10,
    refinements: Annotated[
        int, Param("At most so many steps once the boundary is crossed; with --no-early-stop all.", low=0)
    ] = 10,
) -> Tensor:
    return nearest_boundary_point(victim, x, goal, norm, Walk(steps, refinements, early_stop, overshoot, candidates)).x
