"""A detector's scores on two sides, adversarial and clean: the area under the curve between them, and the curve itself.

AUC = P(s+ > s-) + P(s+ = s-) / 2 (Mann and Whitney, 1947), with Newcombe's interval, method 5 (doi:10.1002/sim.2324).
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import ndtri

from advcli.evaluation.decisions import AttackedVerdicts
from advcli.numerics.arrays import Array
from advcli.numerics.intervals import CONFIDENCE, edge


@dataclass(frozen=True, slots=True)
class Sides:
    """Scores of the clean originals, sorted, each once; scores of the rows, and which of them are positives."""

    clean: Array
    scores: Array
    positives: dict[str, Array]


def sides(known: AttackedVerdicts) -> Sides:
    """Positives are the attacked rows: all of them, and those that fool the classifier behind the detector."""
    before, said = known.before, known.said
    _, first = np.unique(known.original, return_index=True)
    reached = np.where(known.targets < 0, said.answers != known.labels, said.answers == known.targets)
    successful = known.attacked & reached & (before.answers == known.labels)
    return Sides(np.sort(before.beyond[first]), said.beyond, {"successful": successful, "all": known.attacked})


def area(positive: Array, negative: Array) -> float:
    """The area under the curve; `negative` is sorted."""
    below, upto = np.searchsorted(negative, positive, "left"), np.searchsorted(negative, positive, "right")
    return float(below.sum() + upto.sum()) / (2 * len(positive) * len(negative))


def area_interval(area: float, m: int, n: int) -> tuple[float, float]:
    """All areas within the critical distance, by their own standard deviation, of the one observed; wide if m or n is small."""
    z, half = float(ndtri((1 + CONFIDENCE) / 2)), (m + n) / 2 - 1

    def refused(at: float) -> bool:
        spread = at * (1 - at) * (1 + half * (1 - at) / (2 - at) + half * at / (1 + at)) / (m * n)
        return abs(at - area) > z * sqrt(spread)

    return edge(refused, area, 0.0), edge(refused, area, 1.0)


def corners(positive: Array, negative: Array) -> Array:
    """(points, 3) threshold, clean scores above it, positives above it: from the strictest to none, where the curve turns."""
    bars = np.unique(np.concatenate([positive, negative]))[::-1]
    false = len(negative) - np.searchsorted(np.sort(negative), bars, "left")
    true = len(positive) - np.searchsorted(np.sort(positive), bars, "left")
    found = np.column_stack([np.append(np.inf, bars), np.append(0, false), np.append(0, true)])
    x, y = np.diff(found[:, 1]), np.diff(found[:, 2])
    turns = np.ones(len(found), bool)
    turns[1:-1] = x[1:] * y[:-1] != x[:-1] * y[1:]
    return found[turns]
