"""Compares every other model with the first on the same images: McNemar's exact test, for each set and for the worst case.

A finding is claimed only if the interval of the difference excludes 0, the p (adjusted for the number of tests by Holm's
method) is below 5 %, and both models were attacked with equal knowledge: a set made against one of two models does not tell
which of them is more robust.
"""

from dataclasses import dataclass, replace

import numpy as np

from advcli.evaluation.decisions import Figure
from advcli.evaluation.rows import Pair, Row, row
from advcli.evaluation.threat_model import STRONG
from advcli.evaluation.worst_case import Standing
from advcli.numerics.intervals import CONFIDENCE
from advcli.numerics.paired_tests import difference_interval, holm, mcnemar

UNEQUAL = "unequal attacks"


def comparisons(standings: list[Standing], first: str) -> list[Row]:
    """The rows of all pairs; standings may come in any order."""
    mine = {_place(one): one for one in standings if one.model == first}
    rivals = [(rival, one) for one in standings if one.model != first and (rival := mine.get(_place(one)))]
    counted = [count for rival, one in rivals if (count := _count(rival, one))]
    raised = holm([mcnemar(one.b, one.c) for one in counted])
    return [_row(one, p) for one, p in zip(counted, raised, strict=True)]


@dataclass(frozen=True, slots=True)
class _Counted:
    """Two models on the same images: of b only the first is right, of c only the second."""

    first: Standing
    second: Standing
    b: int
    c: int
    n: int


def _place(one: Standing) -> tuple[str, str, str, str]:
    """The key under which two standings can be compared: set, norm, budget, pixels, source."""
    return one.set, f"{one.threat.norm} {one.budget}", str(one.threat.pixels), one.source


def _count(first: Standing, second: Standing) -> _Counted | None:
    images = np.intersect1d(first.images, second.images, assume_unique=True)
    if not len(images):
        return None
    before, after = first.of(images)[0][0], second.of(images)[0][0]  # the first draw of each
    return _Counted(first, second, int((before & ~after).sum()), int((after & ~before).sum()), len(images))


def _row(one: _Counted, p_holm: float) -> Row:
    first, second = one.first, one.second
    low, high = difference_interval(one.b, one.c, one.n)
    figure = Figure("difference", (one.c - one.b) / one.n, one.n, None, low, high)
    finding = _finding(figure.value, low, high, p_holm, {first.threat.knowledge, second.threat.knowledge})
    pair = Pair(first.model, one.b, one.c, mcnemar(one.b, one.c), first.threat, p_holm, finding)
    return replace(row(second.model, second.set, second.kind, second.budget, [figure], second.threat), pair=pair)


def _finding(value: float, low: float, high: float, p: float, knowledge: set[str]) -> str:
    if len(knowledge) > 1 and not knowledge <= {*STRONG}:
        return UNEQUAL
    if p < 1 - CONFIDENCE and (low > 0 or high < 0):
        return "better" if value > 0 else "worse"
    return "inconclusive"
