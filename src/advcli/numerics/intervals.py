"""Intervals: exact ones for a rate (Clopper and Pearson, 1934), by Student's t for a mean, and by inverting a test."""

from collections.abc import Callable

import numpy as np
from scipy.special import betaincinv, stdtrit

from advcli.numerics.arrays import Array

CONFIDENCE = 0.95
HALVINGS = 60


def exact_interval(k: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """(low, high) that hold the true rate with at least this confidence, for k of n; (0, 1) if n is 0.

    k and n need not be whole: if rows depend on each other, n is the effective number of independent ones.
    """
    if n == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail))
    return low, high


def ratio_variance(top: Array, bottom: Array, cluster: Array) -> tuple[float, int]:
    """The variance of sum(top) / sum(bottom) if the rows of one cluster depend on each other, and the number of clusters."""
    _, place = np.unique(cluster, return_inverse=True)
    over, under = np.bincount(place, top), np.bincount(place, bottom)
    off = over - over.sum() / under.sum() * under
    clusters = len(off)
    return float(np.square(off).sum() / under.sum() ** 2 * clusters / max(1, clusters - 1)), clusters


def share_interval(k: Array, n: Array, cluster: Array) -> tuple[float, float]:
    """The interval of sum(k) / sum(n), exact for as many independent trials as would vary as much as the clusters do."""
    share, (variance, clusters) = float(k.sum() / n.sum()), ratio_variance(k, n, cluster)
    independent = share * (1 - share) / variance if variance > 0 else float(clusters)
    independent = min(independent, float(n.sum()))
    return exact_interval(share * independent, independent)


def mean_interval(values: Array, cluster: Array, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The interval of a mean by Student's t, whose degrees of freedom are the clusters less one; None for a single cluster."""
    variance, clusters = ratio_variance(values, np.ones(len(values)), cluster)
    if clusters < 2:
        return None
    half = float(stdtrit(clusters - 1, (1 + confidence) / 2)) * variance**0.5
    return float(values.mean()) - half, float(values.mean()) + half


def lower_bound(k: Array, n: int, alpha: float) -> Array:
    """One-sided lower bounds of the true rates with confidence 1 - alpha, for k of n each."""
    found: Array = np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, alpha), 0.0)
    return found


def edge(refused: Callable[[float], bool], inside: float, outside: float) -> float:
    """The value at which a test begins to reject, between an accepted one and the end of the scale."""
    if not refused(outside):
        return outside
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if refused(middle) else (middle, outside)
    return inside
