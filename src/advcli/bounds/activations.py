"""Straight lines below and above an activation on an interval [l, u], as CROWN needs them (arXiv:1811.00866).

ReLU: x and 0 lie below, u (x - l) / (u - l) above. Every mixture of two lines below is one; so each neuron may choose,
and `start` is the choice of the smaller area. Sigmoid and tanh rise least at an end of [l, u], since their slope has one
peak: a line with that slope through either end is a bound (DeepPoly, doi:10.1145/3290354).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from advcli.bounds.rounding import FUNCTION


@dataclass(frozen=True)
class Line:
    """slope x + offset, each (N, *shape)."""

    slope: Tensor
    offset: Tensor


@dataclass(frozen=True)
class Choice:
    """Two lines that bound an activation from the same side, and how much of the second is taken at first, 0 or 1."""

    first: Line
    second: Line
    start: Tensor


class Activation:
    """A function of each value that never falls."""

    error = 0.0  # absolute, of the float32 function as it runs
    terms = 0  # products that it rounds

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def bends(self, low: Tensor, high: Tensor) -> Tensor:
        """Where the activation is no straight line on [low, high]."""
        raise NotImplementedError

    def lines(self, low: Tensor, high: Tensor) -> tuple[Choice, Choice]:
        """Lines below and above."""
        raise NotImplementedError


@dataclass
class LeakyRelu(Activation):
    """max(x, s x), s between 0 and 1; ReLU where s is 0."""

    leak: float = 0.0

    def __post_init__(self) -> None:
        self.terms = 1 if self.leak else 0

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, x, self.leak * x)

    def bends(self, low: Tensor, high: Tensor) -> Tensor:
        return (low < 0) & (high > 0)

    def lines(self, low: Tensor, high: Tensor) -> tuple[Choice, Choice]:
        bends, zero = self.bends(low, high), torch.zeros_like(low)
        straight = torch.where(low >= 0, 1.0, self.leak).to(low.dtype)
        width = torch.where(bends, high - low, 1.0)
        chord = torch.where(bends, (high - self.leak * low) / width, straight)
        offset = torch.where(bends, high - chord * high, zero)
        flat, steep = (Line(torch.where(bends, slope, straight), zero) for slope in (self.leak, 1.0))
        above = Line(chord, offset)
        return Choice(flat, steep, (high > -low).to(low.dtype)), Choice(above, above, zero)


@dataclass
class Clip(Activation):
    """x between a floor and a ceiling."""

    floor: float
    ceiling: float

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(self.floor, self.ceiling)

    def bends(self, low: Tensor, high: Tensor) -> Tensor:
        return ((low < self.floor) & (high > self.floor)) | ((low < self.ceiling) & (high > self.ceiling))

    def lines(self, low: Tensor, high: Tensor) -> tuple[Choice, Choice]:
        start, end = low.clamp(self.floor, self.ceiling), high.clamp(self.floor, self.ceiling)
        moves, zero = end > start, torch.zeros_like(low)
        top, bottom = high.clamp(max=self.ceiling), low.clamp(min=self.floor)
        rise = torch.where(moves, (end - start) / torch.where(moves, top - low, 1.0), zero)
        above = Line(rise, end - rise * torch.where(moves, top, zero))
        flat_above = Line(zero, end)
        climb = torch.where(moves, (end - start) / torch.where(moves, high - bottom, 1.0), zero)
        below = Line(climb, start - climb * torch.where(moves, bottom, zero))
        flat_below = Line(zero, start)
        spill_up = moves & (high > self.ceiling) & (high - self.ceiling > self.ceiling - low)
        spill_down = moves & (low < self.floor) & (self.floor - low > high - self.floor)
        return (
            Choice(below, flat_below, spill_down.to(low.dtype)),
            Choice(above, flat_above, spill_up.to(low.dtype)),
        )


@dataclass
class Curve(Activation):
    """A function whose slope has one peak, at 0: sigmoid or tanh."""

    function: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]  # at x
    error = FUNCTION

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def bends(self, low: Tensor, high: Tensor) -> Tensor:
        return high > low

    def lines(self, low: Tensor, high: Tensor) -> tuple[Choice, Choice]:
        start, end, middle = self.function(low), self.function(high), (low + high) / 2
        least = torch.minimum(self.slope(low), self.slope(high))
        wide = high - low > 1e-6
        chord = torch.where(wide, (end - start) / torch.where(wide, high - low, 1.0), least)
        tangent, through = self.slope(middle), self.function(middle)
        below = torch.where(high <= 0, tangent, torch.where(low >= 0, torch.minimum(chord, tangent), least))
        above = torch.where(low >= 0, tangent, torch.where(high <= 0, torch.minimum(chord, tangent), least))
        under = torch.where(high <= 0, through - below * middle, start - below * low)
        over = torch.where(low >= 0, through - above * middle, end - above * high)
        lower, upper, zero = Line(below, under), Line(above, over), torch.zeros_like(low)
        return Choice(lower, lower, zero), Choice(upper, upper, zero)


def sigmoid() -> Curve:
    return Curve(torch.sigmoid, lambda x: torch.sigmoid(x) * torch.sigmoid(-x))


def tanh() -> Curve:
    return Curve(torch.tanh, lambda x: 1 / torch.cosh(x.clamp(-300, 300)).square())
