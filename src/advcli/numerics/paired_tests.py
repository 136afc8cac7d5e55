"""Paired comparison of two models on the same n images: b where only the first is right, c where only the second is.

McNemar's exact test (1947): without a difference, b is binomial with b + c trials and probability 1/2. The interval for the
difference (c - b) / n is Tango's score interval (1998): every D that a score test does not reject,
|c - b - n D| <= z sqrt(n (2 q + D (1 - D))), where q is the most likely share of the first kind for that D. Both are
invariant to the order of the models; unlike Wald's interval, this one keeps its coverage if b + c is small.
"""

from math import sqrt

from scipy.special import bdtr, ndtri

from advcli.numerics.intervals import CONFIDENCE, edge


def mcnemar(b: int, c: int) -> float:
    """The two-sided exact p."""
    return min(1.0, 2 * float(bdtr(min(b, c), b + c, 0.5)))


def difference_interval(b: int, c: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """(low, high) for the second's accuracy minus the first's; (-1, 1) where n is 0."""
    if n == 0:
        return -1.0, 1.0
    z, found = float(ndtri((1 + confidence) / 2)), (c - b) / n

    def refused(at: float) -> bool:
        return abs(c - b - n * at) > z * sqrt(n * max(0.0, 2 * _share(b, c, n, at) + at * (1 - at)))

    return -edge(lambda x: refused(-x), -found, 1.0), edge(refused, found, 1.0)


def _share(b: int, c: int, n: int, at: float) -> float:
    """The most likely share of images that only the first has right, if the difference is `at`."""
    half = (2 * n - c + b) * at - b - c
    return (sqrt(max(0.0, half * half + 8 * n * b * at * (1 - at))) - half) / (4 * n)


def holm(p: list[float]) -> list[float]:
    """The p of several tests, adjusted so that all of them hold together (Holm, 1979)."""
    found, largest = [0.0] * len(p), 0.0
    for rank, k in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[k]))
        found[k] = largest
    return found
