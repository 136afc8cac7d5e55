"""The way to the boundary and along it: what attacks share that look for the nearest point behind it.

Every lead z_k - z_own of another class is taken for linear, and the shortest of the steps r that bring one of them to
zero inside [0, 1] is taken: the point is x + (1 + overshoot)(r_1 + ... + r_n). Behind the boundary a step goes half-way
to where the original itself would meet the linearised boundary. All classes are looked at from the image, and from then
on the one that was nearest. Towards a target there is one lead, that over the best of the other classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from advcli.networks.rejection import split
from advcli.numerics.balls import TINY, distance, per_sample, room_to, to_plane
from advcli.search.best import Closest, take
from advcli.search.goal import Goal
from advcli.search.victim import Victim

SLACK = 1e-3  # of the first lead that a step aims beyond a boundary: Newton's method alone would end on it
WORTH = 0.95  # of a point's distance: a step back that aims further out is left out
Leads = Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True, slots=True)
class Walk:
    """The settings of the walk to the boundary.

    With an early stop at most `refinements` steps are taken from the first point behind the boundary on, and after the
    first of them none that aims at a point hardly closer than what there is.
    """

    steps: int
    refinements: int
    early_stop: bool = True
    overshoot: float = 0.02
    candidates: int = 10  # classes
    confidence: float = 0.0


def nearest_boundary_point(victim: Victim, x: Tensor, goal: Goal, norm: str, walk: Walk) -> Closest:
    """The closest point that a walk finds."""
    confidence, overshoot = walk.confidence, walk.overshoot
    closest, logits = Closest(x, norm), victim(x)
    rivals = _rivals(logits, goal, walk.candidates)
    slack = torch.maximum(-SLACK * goal.margin(logits, confidence), 2 * goal.sure(logits))
    rows = torch.arange(len(x), device=x.device)
    left = torch.full_like(rows, walk.refinements if walk.early_stop else walk.steps)
    origin, path, crossed = x, torch.zeros_like(x), torch.zeros_like(rows, dtype=torch.bool)
    for _ in range(walk.steps):
        slopes, logits = victim.gradients(x, _leads(goal, rivals, confidence))
        reached = goal.reached(logits, confidence)
        closest.offer(rows, x, reached)
        back = per_sample(reached, x)
        leads, base = torch.stack(_leads(goal, rivals, confidence)(logits)), torch.where(back, origin, x)
        step, length, nearest = _shortest(slopes, leads, x, base, slack, overshoot, norm)
        pays = ~(reached & crossed) | (length < WORTH * distance(x, origin, norm)) | (not walk.early_stop)
        path = torch.where(back, (x - origin + step) / 2, path + step)
        x = (origin + torch.where(back, 1, 1 + overshoot) * path).clamp(0, 1)
        rivals, crossed = rivals.gather(1, nearest[:, None]), crossed | reached
        live, left = length.isfinite() & pays & ~(crossed & (left == 0)), left - crossed.long()
        victim, goal, rivals, slack, rows, left, origin, path, crossed, x = take(
            live, victim, goal, rivals, slack, rows, left, origin, path, crossed, x
        )
        if not len(rows):
            return closest
    closest.offer(rows, x, goal.reached(victim(x), confidence))
    return closest


def _rivals(logits: Tensor, goal: Goal, candidates: int) -> Tensor:
    """(N, M) the classes besides the goal's that score most; towards a target, where they count as one, the first."""
    scores, _ = split(logits, goal.rejects)
    ranked = scores.scatter(1, goal.label[:, None], -torch.inf)
    return ranked.topk(1 if goal.targeted else min(candidates, scores.shape[1] - 1), 1).indices


def _leads(goal: Goal, rivals: Tensor, confidence: float) -> Leads:
    """The leads to be brought above zero, as functions of the logits."""
    if goal.targeted:
        return lambda logits: [goal.margin(logits, confidence)]
    return lambda logits: [_lead(goal, rival, confidence, logits) for rival in rivals.unbind(1)]


def _lead(goal: Goal, rival: Tensor, confidence: float, logits: Tensor) -> Tensor:
    """The lead of a rival over the own class, less the confidence, and accepted."""
    scores, beyond = split(logits, goal.rejects)
    ahead = (scores.gather(1, rival[:, None]) - scores.gather(1, goal.label[:, None]))[:, 0] - confidence
    return ahead if beyond is None else torch.minimum(ahead, -beyond)


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
        step, far = to_plane(slope, gain, room_to(slope, base), norm)
        shorter = far < length
        best, length = torch.where(per_sample(shorter, x), step, best), torch.where(shorter, far, length)
        nearest = torch.where(shorter, number, nearest)
    return best, length, nearest
