"""Every further model against the first on the same images: McNemar's exact test, set by set and over the worst case.

A finding is claimed only where the interval of the difference leaves out 0, the p (raised for the number of
tests, after Holm) is below 5 %, and both models met attacks of equal knowledge: a set made against one of two models says
nothing of which is the more robust.
"""

import numpy as np

from advcli.evaluation.decisions import Figure
from advcli.evaluation.rows import Row, row
from advcli.evaluation.worst_case import STRONG, Standing
from advcli.numerics.intervals import CONFIDENCE
from advcli.numerics.paired_tests import difference_interval, holm, mcnemar

UNEQUAL = "unequal attacks"


def comparisons(standings: list[Standing], first: str) -> list[Row]:
    """The rows of all pairs; standings come in any order."""
    mine = {_place(one): one for one in standings if one.model == first}
    found = [row for one in standings if one.model != first and (rival := mine.get(_place(one))) and (row := _pair(rival, one))]
    for one, p in zip(found, holm([one["p"] for one in found]), strict=True):
        one["p_holm"] = p
        one["finding"] = _finding(one)
    return found


def _place(one: Standing) -> tuple[str, str, str, str]:
    """What two standings must share: the set, the norm and budget, the pixels, the source."""
    return one.set, f"{one.threat.get('norm')} {one.budget}", str(one.threat.get("pixels")), one.source


def _pair(first: Standing, second: Standing) -> Row | None:
    images = np.intersect1d(first.images, second.images, assume_unique=True)
    if not len(images):
        return None
    before, after = first.of(images)[0][0], second.of(images)[0][0]  # the first draw of each
    b, c, n = int((before & ~after).sum()), int((after & ~before).sum()), len(images)
    figure = Figure("difference", (c - b) / n, n, None, *difference_interval(b, c, n))
    about = {"against": first.model, "b": b, "c": c, "p": mcnemar(b, c), "against_threat": first.threat}
    return {**row(second.model, second.set, second.kind, second.budget, [figure], second.threat), **about}


def _finding(one: Row) -> str:
    mine, other = one["threat"]["knowledge"], one["against_threat"]["knowledge"]
    if mine != other and not {mine, other} <= {*STRONG}:
        return UNEQUAL
    if one["p_holm"] < 1 - CONFIDENCE and (one["low"] > 0 or one["high"] < 0):
        return "better" if one["value"] > 0 else "worse"
    return "inconclusive"
