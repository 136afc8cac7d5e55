"""The maximum mean discrepancy of two samples, and a test of it by permutation (Gretton et al., JMLR 13, 2012).

MMD^2 = sum k(x, x') / m(m - 1) + sum k(y, y') / n(n - 1) - 2 sum k(x, y) / mn, over pairs of different points, without bias:
its mean is 0 if both samples come from one distribution. k(x, y) = exp(-|x - y|^2 / 2 s^2); s is the median distance of the
pooled sample. p = (1 + permutations with an MMD^2 at least as large) / (1 + permutations).
"""

from collections.abc import Callable, Iterator

import numpy as np

from advcli.numerics.arrays import Array

CLOSE = 1e-12  # of the statistic, for the order in which sums are rounded
AT_ONCE = 256  # permutations


def squared_distances(batches: Callable[[], Iterator[tuple[slice, Array]]], count: int) -> Array:
    """(count, count) |x - y|^2 of points (B, d) that come in batches; of these two are in memory at a time."""
    found = np.zeros((count, count))
    for part, points in batches():
        x = points.astype(np.float64)
        for other, more in batches():
            if other.start <= part.start:
                y = more.astype(np.float64)
                block = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
                found[part, other], found[other, part] = block, block.T
    np.fill_diagonal(found, 0)
    return found.clip(min=0)


def median_distance(squared: Array) -> float:
    """The median distance of two different points; 1 if most of them are equal."""
    return float(np.median(np.sqrt(squared[np.triu_indices(len(squared), 1)]))) or 1.0


def kernel(squared: Array, bandwidth: float) -> Array:
    """k of all pairs."""
    found: Array = np.exp(squared / (-2 * bandwidth**2))
    return found


def discrepancy(k: Array, first: Array) -> Array:
    """(P,) MMD^2 of P divisions (points, P) of the sample: 1 where a point is in the first part, 0 in the second."""
    pairs = k - np.diag(np.diag(k))
    first = first.astype(np.float64)
    m = first.sum(0)
    n = len(k) - m
    inside = pairs @ first
    xx = (first * inside).sum(0)
    xy = inside.sum(0) - xx
    yy = pairs.sum() - xx - 2 * xy
    found: Array = xx / (m * (m - 1)) + yy / (n * (n - 1)) - 2 * xy / (m * n)
    return found


def permuted(k: Array, m: int, draws: Callable[[int, int], Array]) -> Array:
    """MMD^2 of random divisions into m points and the rest; `draws(start, stop)` orders the points of some permutations."""
    found, start = list[Array](), 0
    while len(orders := draws(start, start + AT_ONCE)):
        first = np.zeros((len(k), len(orders)))
        np.put_along_axis(first, orders[:, :m].T, 1, 0)
        found.append(discrepancy(k, first))
        start += len(orders)
    return np.concatenate(found) if found else np.zeros(0)


def p_value(observed: float, null: Array) -> float:
    """The share of divisions with a discrepancy at least as large, the observed one included."""
    return float((1 + np.count_nonzero(null >= observed - CLOSE)) / (1 + len(null)))
