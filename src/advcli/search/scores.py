"""Scores of several candidates for every image, asked in batches of a bounded size."""

from collections.abc import Callable

import torch
from torch import Tensor

from advcli.numerics.losses import log_odds
from advcli.search.goal import Goal
from advcli.search.victim import Victim

NUMBERS = 1 << 18  # pixels of a batch: larger ones leave the cache
FEWEST, MOST = 64, 512  # images of a batch
TOGETHER = 16  # candidates of an image that are asked at once


def at_once(size: int) -> int:
    """The number of images of `size` values that one call takes."""
    return max(FEWEST, min(MOST, NUMBERS // size))


def groups(count: int, size: int) -> list[slice]:
    """The slices of `count` candidates that are asked together, by the size of an image alone.

    An image that is done asks no later group, so that its queries do not depend on its batch.
    """
    step = max(1, min(TOGETHER, NUMBERS // size))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def logits_of(victim: Victim, points: Tensor, asked: Tensor) -> Tensor:
    """(N, K, classes) the logits of K candidates for each image; those that are not asked get zeros and cost nothing."""
    count = points.shape[1]
    who, flat, places = victim.copies(count), points.flatten(0, 1), asked.flatten().nonzero()[:, 0]
    answers = [who[part](flat[part]) for part in torch.split(places, at_once(flat[0].numel()))]
    found = answers[0].new_zeros(len(flat), answers[0].shape[1])
    found[places] = torch.cat(answers)
    return found.view(len(points), count, -1)


def odds(goal: Goal) -> Callable[[Tensor], Tensor]:
    """The log-odds of leaving the class, or of reaching the target: ordered as the probability, which rounds to 0 and 1."""
    sign = -1 if goal.targeted else 1
    return goal.climb(lambda scores: sign * log_odds(scores, goal.label))


class Deepest:
    """For every image the point of the largest margin beyond the goal's boundary so far."""

    def __init__(self, x: Tensor, early_stop: bool) -> None:
        self.x, self.early_stop = x.clone(), early_stop
        self._margin = x.new_full((len(x),), -torch.inf)

    def offer(self, rows: Tensor, points: Tensor, logits: Tensor, goal: Goal, asked: Tensor | None = None) -> Tensor:
        """Record the best of K candidates for each of some images; returns which of these images are done.

        Points are (N, K, C, H, W); `asked` tells which of them have logits. At full strength no image is done.
        """
        count = points.shape[1]
        margin = goal.copies(count).margin(logits.flatten(0, 1)).view(-1, count)
        if asked is not None:
            margin = margin.masked_fill(~asked, -torch.inf)
        depth, which = margin.max(1)
        better, one = depth > self._margin[rows], torch.arange(len(rows), device=rows.device)
        self._margin[rows[better]], self.x[rows[better]] = depth[better], points[one, which][better]
        if not self.early_stop:
            return torch.zeros_like(better)
        return (depth > goal.sure(logits[one, which])) & depth.isfinite()
