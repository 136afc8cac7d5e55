"""Exact intervals for a rate (Clopper and Pearson, 1934), and the ends of intervals found by inverting a test."""

from collections.abc import Callable

import numpy as np
from scipy.special import betaincinv

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
