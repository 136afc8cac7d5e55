"""What a search sees of each image: whether a point on its way reached the goal, and how the margin grew.

The logits are those that the search asks for, so nothing is asked twice. A point counts if it lies in the ball and its margin
is larger than a difference between the search's copy of the model and the model itself.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from advcli.catalog.registry import Bound
from advcli.numerics.balls import FREE, Ball
from advcli.search.goal import CLOSE, Goal

PART = 5  # the last fifth of the steps
COLUMNS = ("stands", "on_the_way", "rising")  # of a batch, for the checks; they are no part of the set


@dataclass(frozen=True, slots=True)
class Search:
    """A finished search, as a check of it sees it: counts of the rows that stand, and of two kinds of rows among them."""

    method: Bound
    stands: int
    on_the_way: int  # reached the goal at some step
    rising: int  # their margin still grew at the last steps


class Observer:
    """Watches one call of an attack; `rows` are the places of its images in the tally of their victim."""

    def __init__(self, goal: Goal, ball: Ball, rows: Tensor, confidence: float = 0.0) -> None:
        self.goal, self.ball, self.rows, self.confidence = goal, ball, rows, confidence
        self.reached = torch.zeros(len(rows), dtype=torch.bool, device=ball.center.device)
        self._margins: list[Tensor] = []

    def see(self, rows: Tensor, x: Tensor, logits: Tensor, *, step: bool) -> None:
        """Take the answer for some of the images; `step`: it comes with the gradient that the next step follows."""
        places = torch.searchsorted(self.rows, rows).to(logits.device)
        margin = self.goal[places].margin(logits, self.confidence)
        new = (margin > 0) & ~self.reached[places]
        if bool(new.any()):
            new &= margin > CLOSE * logits.abs().amax(1)
            self.reached[places[new]] = self._within(places[new], x[new])
        if step:
            self._margins.append(torch.full_like(self.ball.radius, -torch.inf).scatter_reduce(0, places, margin, "amax"))

    def _within(self, places: Tensor, x: Tensor) -> Tensor:
        if self.ball.norm in FREE or not len(x):
            return torch.ones_like(places, dtype=torch.bool)
        return self.ball[places].holds(x)

    @property
    def rising(self) -> Tensor:
        """(N,) whether the margin of an open image grew in the last steps at more than half the speed of all steps."""
        steps = len(self._margins) - 1
        last = max(1, steps // PART)
        if steps < 1:
            return torch.zeros_like(self.reached)
        best = torch.stack(self._margins).cummax(0).values
        speed, mean = (best[-1] - best[-1 - last]) / last, (best[-1] - best[0]) / steps
        return self._margins[-1].isfinite() & (speed > mean / 2)
