"""Mean, standard deviation, extremes: streaming, so that a set never has to fit in memory.

The population's standard deviation (ddof = 0), by Chan, Golub and LeVeque's update (1979), which does not cancel.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from advcli.numerics.arrays import Array


@dataclass(slots=True)
class Moments:
    """Count, mean, sum of squared deviations and extremes of what was added so far."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = np.inf
    high: float = -np.inf

    def add(self, values: Array) -> None:
        """Take in some more values, in float64."""
        if not values.size:
            return
        more = values.astype(np.float64)
        count, mean = more.size, float(more.mean())
        squares = float(((more - mean) ** 2).sum())
        total, shift = self.n + count, mean - self.mean
        self.squares += squares + shift**2 * self.n * count / total
        self.mean += shift * count / total
        self.low, self.high = min(self.low, float(more.min())), max(self.high, float(more.max()))
        self.n = total

    def row(self) -> dict[str, Any]:
        """The numbers of a table; none of them where nothing was added."""
        if not self.n:
            return {"n": 0, "mean": None, "std": None, "min": None, "max": None}
        std = (self.squares / self.n) ** 0.5
        return {"n": self.n, "mean": self.mean, "std": std, "min": self.low, "max": self.high}
