"""The nearest hyperplane of a linear model, exact: for support vector machines, logistic and softmax regression.

The distance to the boundary between the own class and class k is |(w_k - w_own) x + b_k - b_own| / ||w_k - w_own||_q with the
dual norm q, as long as no pixel meets black or white; what these cut off, the other pixels move further. The step goes to the
nearest of all classes. With --overshoot v it is 1 + v times as long.
"""

from typing import Annotated, Literal

import torch
from torch import Tensor

from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import per_sample, room_to
from advcli.numerics.planes import to_plane
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from advcli.search.leads import leads_of, top_rivals
from advcli.search.victim import Victim

AT_ONCE = 10  # classes, whose gradients are in memory together
BEYOND = 1.1  # times the margin that the verdict needs beyond the plane
FURTHER = 1e-4  # of the way, which the rounding of pixels may take


@attack(
    family="structure",
    kind="minimal",
    norms=("linf", "l2", "l1"),
    access="gradient",
    structure="planes",
    targeted=False,
    within=1.01,
    paper="arXiv:1605.07277",
)
def svm(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    norm: Annotated[Literal["linf", "l2", "l1"], Param("Norm of the distance.")] = "l2",
    overshoot: Annotated[
        float, Param("Factor by which the perturbation is lengthened, so that it fools other models too.", low=0, high=1000)
    ] = 0.0,
) -> Tensor:
    logits = victim(x)
    step, length = torch.zeros_like(x), torch.full_like(logits[:, 0], torch.inf)
    sure = BEYOND * goal.sure(logits)
    for rivals in torch.split(top_rivals(logits, goal, logits.shape[1]), AT_ONCE, 1):
        leads = leads_of(goal, rivals)
        slopes, _ = victim.gradients(x, leads)
        for slope, lead in zip(slopes, leads(logits), strict=True):
            way, far = to_plane(slope, -lead + torch.maximum(sure, -FURTHER * lead), room_to(slope, x), norm)
            step = torch.where(per_sample(far < length, x), way, step)
            length = torch.minimum(far, length)
    return (x + (1 + overshoot) * step).clamp(0, 1)
