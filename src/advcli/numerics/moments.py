"""Mean, standard deviation, extremes and quantiles of many groups at once, without a loop over rows.

The population's standard deviation (ddof = 0), as a stream by the update of Chan, Golub and LeVeque (1979), which avoids
cancellation. Quantiles interpolate linearly between the two nearest values, at q (n - 1); they are exact if the values fit in
memory, otherwise counted on a grid and accurate to half a grid step.
"""

import math
from typing import Any

import numpy as np

from advcli.numerics.arrays import Array

QUANTILES = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}
COLUMNS = ("n", "mean", "std", "min", *QUANTILES, "max")
FINE, COARSE = 2040, 255  # steps of a grid from 0 to 1: bytes lie on both, tenths on the fine one
MOST_CELLS = 1 << 22  # counters of one grid


class Moments:
    """Count, mean, squared deviations and extremes of the values so far, for each group."""

    def __init__(self, groups: int) -> None:
        self.n = np.zeros(groups, np.int64)
        self.mean, self.squares = np.zeros(groups), np.zeros(groups)
        self.low, self.high = np.full(groups, np.inf), np.full(groups, -np.inf)

    def add(self, group: Array, values: Array) -> None:
        """Add some rows of values, (B, ...), each for one group, in float64."""
        if not values.size:
            return
        rows = values.reshape(len(values), -1).astype(np.float64)
        mean = rows.mean(1)
        squares = np.square(rows - mean[:, None]).sum(1)
        present, place, count = np.unique(group, return_inverse=True, return_counts=True)
        more, before = count * rows.shape[1], self.n[present]
        middle = np.bincount(place, mean) / count
        spread = np.bincount(place, squares + rows.shape[1] * np.square(mean - middle[place]))
        total, shift = before + more, middle - self.mean[present]
        self.squares[present] += spread + np.square(shift) * before * more / total
        self.mean[present] += shift * more / total
        self.n[present] = total
        np.minimum.at(self.low, group, rows.min(1))
        np.maximum.at(self.high, group, rows.max(1))

    def columns(self) -> dict[str, Array]:
        """The columns of a table, without the quantiles."""
        std = np.sqrt(self.squares / np.maximum(self.n, 1))
        return {"n": self.n, "mean": self.mean, "std": std, "min": self.low, "max": self.high}


class Grid:
    """The number of values nearest to each point of a grid from `low` to `high`, by group."""

    def __init__(self, groups: int, low: int, high: int) -> None:
        self.low = low
        self.steps: float = FINE if groups * FINE * (high - low) <= MOST_CELLS else COARSE
        if high - low > 2:  # values that are no pixels of images, and may be of any size
            self.steps = min(self.steps, MOST_CELLS / (groups * (high - low)))
        self.counts = np.zeros((groups, math.ceil(self.steps * (high - low)) + 1), np.int64)

    def add(self, group: Array, values: Array) -> None:
        """Count some rows of values, (B, ...), each for one group."""
        if not values.size:
            return
        points = self.counts.shape[1]
        nearest = np.rint((values.reshape(len(values), -1) - self.low) * self.steps).astype(np.int32).clip(0, points - 1)
        present, place = np.unique(group, return_inverse=True)
        cells = (nearest + (place * points)[:, None]).ravel()
        self.counts[present] += np.bincount(cells, minlength=len(present) * points).reshape(-1, points)

    def columns(self) -> dict[str, Array]:
        """The quantiles, and their largest error."""
        upto = self.counts.cumsum(1)
        n, found = upto[:, -1], {}
        for name, share in QUANTILES.items():
            below, above, part = _places(n, share)
            low, high = _reaching(upto, below), _reaching(upto, above)
            found[name] = self.low + (low + part * (high - low)) / self.steps
        return {**found, "quantiles_within": np.full(len(n), 0.5 / self.steps)}


def _reaching(upto: Array, places: Array) -> Array:
    """The point at which the value of a rank lies, for every row of running sums."""
    return np.array([np.searchsorted(line, place, "right") for line, place in zip(upto, places, strict=True)], np.int64)


def _places(n: Array, share: float) -> tuple[Array, Array, Array]:
    """The two ranks among n sorted values that a quantile lies between, and the fraction between them."""
    exact = share * np.maximum(n - 1, 0)
    below = np.floor(exact).astype(np.int64)
    return below, np.minimum(below + 1, np.maximum(n - 1, 0)), exact - below


def summary(group: Array, values: Array, groups: int) -> dict[str, Array]:
    """All columns for values that are in memory, one a row, each for one group."""
    values = values.astype(np.float64)
    found = Moments(groups)
    found.add(group, values)
    ordered = np.append(values[np.lexsort((values, group))], np.nan)  # a group without values may start at the end
    first = found.n.cumsum() - found.n
    quantiles = {}
    for name, share in QUANTILES.items():
        below, above, part = _places(found.n, share)
        low, high = ordered[first + below], ordered[first + above]
        quantiles[name] = low + part * (high - low)
    return {**found.columns(), **quantiles, "quantiles_within": np.zeros(groups)}


def row(columns: dict[str, Array], group: int) -> dict[str, Any]:
    """The values of one group for a table; empty if the group has none."""
    n, within = int(columns["n"][group]), columns.get("quantiles_within")
    found: dict[str, Any] = {name: float(columns[name][group]) if n else None for name in COLUMNS[1:]}
    return {"n": n, **found, "quantiles_within": float(within[group]) if n and within is not None else None}
