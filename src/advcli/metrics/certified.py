"""Certified accuracy: the share of images whose correct class is proved within an l2 radius, and the median radius.

Some noisy copies choose the class, others count it k times of n: p >= the lower bound of Clopper and Pearson at
confidence 1 - alpha, and R = sigma Phi^-1(p); if p <= 1/2 the model abstains (CERTIFY of arXiv:1902.02918). Each
certificate holds with probability 1 - alpha, for the smoothed model with infinitely many copies. In the median radius a
wrong or abstained image counts as 0.
"""

from dataclasses import replace
from typing import Annotated

import numpy as np
from scipy.special import ndtri

from advcli.catalog.params import Param
from advcli.catalog.registry import metric
from advcli.evaluation.decisions import Certificate, Figure, Figures, Noise, Verdicts, rate
from advcli.numerics.arrays import Array
from advcli.numerics.intervals import lower_bound
from advcli.numerics.quantities import budgets


def certify(noise: Noise, first: int, copies: int, alpha: float) -> tuple[Array, Array]:
    """(the class, its radius) for every image; a radius of 0 means that the model abstains."""
    top = noise.votes("first", first).argmax(1)
    count = noise.votes("count", copies)[np.arange(len(top)), top]
    sure = lower_bound(count, copies, alpha)
    radius: Array = np.where(sure > 0.5, noise.sigma * ndtri(np.maximum(sure, 0.5)), 0.0)
    return top, radius


@metric(of="clean", needs=("noise",))
def certified(
    verdicts: Verdicts,
    *,
    radii: Annotated[str, Param("l2 radii to report.", form="SWEEP")] = "0,0.25,0.5,1",
    certify_first: Annotated[int, Param("Noisy copies that choose the class.", low=1, high=10_000_000)] = 100,
    certify_samples: Annotated[int, Param("Noisy copies that certify it; the paper uses 100000.", low=1, high=10_000_000)] = 1000,
    alpha: Annotated[float, Param("Probability that a certificate is wrong, at most.", low=1e-12, high=0.5)] = 0.001,
) -> Figures:
    known = verdicts.known()
    top, radius = certify(known.noise, certify_first, certify_samples, alpha)
    right = (radius > 0) & (top == known.labels)
    under = Certificate("l2", alpha, certify_samples, certify_first, known.noise.sigma)
    for one in budgets(radii):
        figure = rate("certified", int((right & (radius >= one.value)).sum()), len(top), epsilon=one.value)
        yield replace(figure, certificate=replace(under, epsilon=one.text))
    kept = np.where(right, radius, 0.0)
    yield Figure("certified-radius-median", float(np.median(kept)) if len(kept) else 0.0, len(kept), certificate=under)
    yield replace(rate("certified-abstained", int((radius == 0).sum()), len(top)), certificate=under)
