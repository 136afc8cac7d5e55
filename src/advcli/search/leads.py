"""The leads of other classes over an image's own: what is zero on the boundary, and which of them are worth a look."""

from collections.abc import Callable

import torch
from torch import Tensor

from advcli.networks.rejection import split
from advcli.numerics.balls import TINY
from advcli.numerics.planes import steepness
from advcli.search.goal import Goal
from advcli.search.victim import Victim

LOOK = 10  # classes, by score, whose distances from an image are measured
FIRST, LAST = 1 / 8, 2.0  # of the image's own lead: how deep it goes through a detector's sight
Leads = Callable[[Tensor], list[Tensor]]


def top_rivals(logits: Tensor, goal: Goal, count: int) -> Tensor:
    """(N, M) the classes besides the goal's that score most; towards a target, where they count as one, the first."""
    scores, _ = split(logits, goal.rejects)
    ranked = scores.scatter(1, goal.label[:, None], -torch.inf)
    return ranked.topk(1 if goal.targeted else min(count, scores.shape[1] - 1), 1).indices


def nearest_rivals(victim: Victim, x: Tensor, goal: Goal, norm: str, count: int) -> Tensor:
    """(N, M) the classes whose linearised boundaries are nearest to the images, by one gradient each, nearest first.

    Looked at are those that score most (arXiv:2407.02240).
    """
    rivals = top_rivals(victim(x), goal, max(LOOK, count))
    slopes, logits = victim.gradients(x, leads_of(goal, rivals))
    far = [
        -lead / steepness(slope, norm).clamp_min(TINY) for lead, slope in zip(leads_of(goal, rivals)(logits), slopes, strict=True)
    ]
    return rivals.gather(1, torch.stack(far, 1).topk(min(count, rivals.shape[1]), 1, largest=False).indices)


def leads_of(goal: Goal, rivals: Tensor, confidence: float = 0.0, deep: Tensor | None = None) -> Leads:
    """The leads to be brought above zero, as functions of the logits; `deep` (N,): how far, whatever a detector says."""
    each = [None] if goal.targeted else rivals.unbind(1)
    return lambda logits: [_lead(goal, rival, confidence, deep, logits) for rival in each]


def _lead(goal: Goal, rival: Tensor | None, confidence: float, deep: Tensor | None, logits: Tensor) -> Tensor:
    """The lead of a rival, or of the target, less the confidence, and accepted; less the depth where an image goes deep."""
    scores, beyond = split(logits, goal.rejects)
    if rival is None:
        ahead = goal.lead(logits)
    else:
        ahead = (scores.gather(1, rival[:, None]) - scores.gather(1, goal.label[:, None]))[:, 0]
    ahead = ahead - confidence
    if beyond is None:
        return ahead
    accepted = torch.minimum(ahead, -beyond)
    if deep is None:
        return accepted
    through = (deep > 0) & deep.isfinite()
    return torch.where(through, ahead - torch.where(through, deep, 0), accepted)


def deeper(deep: Tensor, own: Tensor, lead: Tensor) -> Tensor:
    """The depth that each image goes to next: the double of what it has reached, until that is deep enough."""
    further = torch.where(deep == 0, FIRST * own, torch.where(lead >= deep, 2 * deep, deep))
    return torch.where(further > LAST * own, torch.inf, further)
