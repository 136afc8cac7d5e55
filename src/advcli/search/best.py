"""Shared parts of iterated attacks: the best point so far, and removing the samples that are done."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from advcli.numerics.balls import distance
from advcli.numerics.quantities import step_length
from advcli.search.goal import Goal


def take(live: Tensor, *things: Any) -> tuple[Any, ...]:
    """The live samples of everything that a mask can index: tensors, balls, goals, victims, draws."""
    return things if bool(live.all()) else tuple(thing[live] for thing in things)


def lengths(step_size: str, eps: Tensor, steps: Tensor | int) -> Tensor:
    """(N,) step lengths: --step-size evaluated for each sample's budget and number of steps."""
    length = step_length(step_size)
    counts = torch.as_tensor(steps).expand(len(eps)).tolist()
    found = [length.at(one, count) for one, count in zip(eps.tolist(), counts, strict=True)]
    return torch.tensor(found, dtype=eps.dtype, device=eps.device)


class Best:
    """The best point of every sample so far: the first that reaches the goal or, at full strength, that of the largest margin.

    `offer` takes the points of the samples that still resist and returns which of them continue.
    """

    def __init__(self, x: Tensor, goal: Goal, early_stop: bool) -> None:
        self.x = x.clone()
        self.early_stop = early_stop
        self._margin = x.new_full((len(x),), -torch.inf)
        self._open = torch.arange(len(x), device=x.device)

    @property
    def open(self) -> Tensor:
        """The places of the samples that go on."""
        return self._open

    def done(self, goal: Goal) -> Callable[[Tensor], Tensor] | None:
        """The test on logits that ends the search of an open sample; None at full strength."""
        return goal.reached if self.early_stop else None

    def offer(self, x: Tensor, logits: Tensor, goal: Goal, done: Tensor | None = None) -> Tensor:
        """Record the points of the open samples; returns the mask of those to continue with: not `done`, or not at the goal."""
        margin = goal.margin(logits)
        better = margin > self._margin[self._open]
        rows = self._open[better]
        self.x[rows], self._margin[rows] = x[better], margin[better]
        if not self.early_stop:
            return torch.ones_like(better)
        live = ~(goal.reached(logits) if done is None else done)
        self._open = self._open[live]
        return live


class Closest:
    """For every sample the point nearest to the original that reaches the goal; the original if none does."""

    def __init__(self, x: Tensor, norm: str) -> None:
        self.x, self._original, self._norm = x.clone(), x, norm
        self.distance = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)

    def offer(self, rows: Tensor, x: Tensor, reached: Tensor) -> Tensor:
        """Record the points of some samples; returns the mask of those that came closer."""
        far = distance(x, self._original[rows], self._norm)
        better = reached & (far < self.distance[rows])
        self.x[rows[better]], self.distance[rows[better]] = x[better], far[better]
        return better
