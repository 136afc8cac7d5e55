"""Newton-like steps to the nearest point beyond the decision boundary, shared by several attacks.

Every difference z_k - z_own to another class is linearised, and the shortest step r that brings one of them to zero inside
[0, 1] is taken: the point is x + (1 + overshoot)(r_1 + ... + r_n). Beyond the boundary, a step goes half-way to the point at
which the original would meet the linearised boundary. The first step compares all classes; later steps use the nearest one.
For a target there is one difference, to the best of the other classes.

If the model can reject, a difference counts for no more than the distance to a rejection. Many detectors are most confident
where the classes meet: a step across the boundary and a step that lowers the detector's score then undo each other. An image
that has not reached its goal after some steps therefore crosses the boundary first: it leaves its class by an eighth of its
initial margin, then by a quarter, ..., whatever the detector's score, until it is accepted there.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from advcli.numerics.balls import TINY, distance, per_sample, room_to
from advcli.numerics.planes import to_plane
from advcli.search.best import Closest, take
from advcli.search.goal import Goal
from advcli.search.leads import deeper, leads_of, top_rivals
from advcli.search.victim import Victim

SLACK = 1e-3  # of the first lead that a step aims beyond a boundary: Newton's method alone would end on it
PATIENCE = 8  # steps after which an image goes through a detector's sight
WORTH = 0.95  # of a point's distance: a step back that aims further out is left out


@dataclass(frozen=True, slots=True)
class Walk:
    """The settings of the steps to the boundary.

    With an early stop at most `refinements` steps are taken after the first point beyond the boundary, and after the first of
    them none that would end hardly closer than the best point.
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
    rivals = top_rivals(logits, goal, walk.candidates)
    slack = torch.maximum(-SLACK * goal.margin(logits, confidence), 2 * goal.sure(logits))
    rows = torch.arange(len(x), device=x.device)
    left = torch.full_like(rows, walk.refinements if walk.early_stop else walk.steps)
    origin, path, crossed = x, torch.zeros_like(x), torch.zeros_like(rows, dtype=torch.bool)
    own, deep = -goal.lead(logits), torch.zeros_like(slack)  # how deep each image is to go; 0: not yet, infinite: no more
    for step_number in range(walk.steps):
        aims = leads_of(goal, rivals, confidence, deep)
        slopes, logits = victim.gradients(x, aims)
        reached = goal.reached(logits, confidence)
        closest.offer(rows, x, reached)
        back = per_sample(reached, x)
        leads, base = torch.stack(aims(logits)), torch.where(back, origin, x)
        step, length, nearest = _shortest(slopes, leads, x, base, slack, overshoot, norm)
        pays = ~(reached & crossed) | (length < WORTH * distance(x, origin, norm)) | (not walk.early_stop)
        path = torch.where(back, (x - origin + step) / 2, path + step)
        x = (origin + torch.where(back, 1, 1 + overshoot) * path).clamp(0, 1)
        rivals, crossed = rivals.gather(1, nearest[:, None]), crossed | reached
        live, left = length.isfinite() & pays & ~(crossed & (left == 0)), left - crossed.long()
        if goal.rejects and step_number + 1 >= PATIENCE:
            deep = torch.where(crossed, torch.inf, deeper(deep, own, goal.lead(logits)))
        victim, goal, rivals, slack, rows, left, origin, path, crossed, x, own, deep = take(
            live, victim, goal, rivals, slack, rows, left, origin, path, crossed, x, own, deep
        )
        if not len(rows):
            return closest
    closest.offer(rows, x, goal.reached(victim(x), confidence))
    return closest


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
