"""DeepFool: step to the nearest boundary of the linearised model, until it is crossed; then back towards the image.

Every lead z_k - z_own of another class is taken for linear, and the shortest of the steps r that bring one of them to
zero inside [0, 1] is taken: pixels that it makes black or white are held, and the others go further. The point is
x + (1 + overshoot)(r_1 + ... + r_n). Once the boundary is crossed, a step goes half-way to where the original itself
would meet the linearised boundary, as in FAB (arXiv:1907.02044), and the closest point is kept; `--refinements 0` is the
method of the paper. All classes are looked at from the image, and from then on the one that was nearest.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import torch
from torch import Tensor

from advcli.geometry import TINY, crossing, per_sample, room_to
from advcli.parameters import Param, Steps
from advcli.registry import attack
from advcli.rejection import split
from advcli.rng import SampleRNG
from advcli.search import Closest, take
from advcli.victim import Goal, Victim

SLACK = 1e-3  # of the first lead that a step aims beyond a boundary: Newton's method alone would end on it


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
        int, Param("Steps back once the boundary is crossed; with --no-early-stop all that are left.", low=0)
    ] = 6,
) -> Tensor:
    closest, logits = Closest(x, norm), victim(x)
    rivals, slack = _rivals(logits, goal, candidates), torch.maximum(-SLACK * goal.margin(logits), 2 * goal.sure(logits))
    rows = torch.arange(len(x), device=x.device)
    left = torch.full_like(rows, refinements if early_stop else steps)
    origin, path, crossed = x, torch.zeros_like(x), torch.zeros_like(rows, dtype=torch.bool)
    for _ in range(steps):
        slopes, logits = victim.gradients(x, _leads(goal, rivals))
        reached = goal.reached(logits)
        closest.offer(rows, x, reached)
        back = per_sample(reached, x)
        leads, base = torch.stack(_leads(goal, rivals)(logits)), torch.where(back, origin, x)
        step, length, nearest = _shortest(slopes, leads, x, base, slack, overshoot, norm)
        path = torch.where(back, (x - origin + step) / 2, path + step)
        x = (origin + torch.where(back, 1, 1 + overshoot) * path).clamp(0, 1)
        rivals, crossed = rivals.gather(1, nearest[:, None]), crossed | reached
        live, left = length.isfinite() & ~(crossed & (left == 0)), left - crossed.long()
        victim, goal, rivals, slack, rows, left, origin, path, crossed, x = take(
            live, victim, goal, rivals, slack, rows, left, origin, path, crossed, x
        )
        if not len(rows):
            return closest.x
    closest.offer(rows, x, goal.reached(victim(x)))
    return closest.x


def _rivals(logits: Tensor, goal: Goal, candidates: int) -> Tensor:
    """(N, M) the classes besides each sample's own that score most."""
    scores, _ = split(logits, goal.rejects)
    ranked = scores.scatter(1, goal.label[:, None], -torch.inf)
    return ranked.topk(min(candidates, scores.shape[1] - 1), 1).indices


def _leads(goal: Goal, rivals: Tensor) -> Callable[[Tensor], list[Tensor]]:
    """How far each rival is ahead of the own class, as functions of the logits: negative until it wins."""

    def lead(rival: Tensor, scores: Tensor) -> Tensor:
        return (scores.gather(1, rival[:, None]) - scores.gather(1, goal.label[:, None]))[:, 0]

    losses = [goal.climb(partial(lead, rival)) for rival in rivals.unbind(1)]
    return lambda logits: [loss(logits) for loss in losses]


def _shortest(
    slopes: Tensor, leads: Tensor, x: Tensor, base: Tensor, slack: Tensor, overshoot: float, norm: str
) -> tuple[Tensor, Tensor, Tensor]:
    """The shortest step from the base that brings one of the leads, linear around x, to zero; its length; which lead.

    With the overshoot the lead is to end above the slack.
    """
    best, length = torch.zeros_like(x), torch.full_like(slack, torch.inf)
    nearest = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    for number, (slope, lead) in enumerate(zip(slopes, leads, strict=True)):
        gain = -lead - (slope * (base - x)).flatten(1).sum(1)
        gain = torch.maximum(gain, (gain + slack) / (1 + overshoot)).clamp_min(TINY)
        step, far = crossing(slope, gain, room_to(slope, base), norm)
        shorter = far < length
        best, length = torch.where(per_sample(shorter, x), step, best), torch.where(shorter, far, length)
        nearest = torch.where(shorter, number, nearest)
    return best, length, nearest
