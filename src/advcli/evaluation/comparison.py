"""Compares every other model with the first on the same images: McNemar's exact test.

Pairs are made for each set, for the worst case of several sets, and for each attack that was made against both models, each
judged on its own set. A finding is claimed only if the interval of the difference excludes 0, the p (adjusted for the number
of tests of the command by Holm's method) is below 5 %, all draws of a random model agree on the sign, and both models were
attacked with equal knowledge: a set made against one of two models does not tell which of them is more robust.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from advcli.evaluation.cells import UNEQUAL
from advcli.evaluation.decisions import Figure
from advcli.evaluation.rows import Pair, Row, row
from advcli.evaluation.threat_model import STRONG
from advcli.evaluation.worst_case import Standing, worst_of
from advcli.numerics.arrays import Array
from advcli.numerics.intervals import CONFIDENCE
from advcli.numerics.paired_tests import difference_interval, holm, mcnemar
from advcli.numerics.quantities import as_float32, fraction


@dataclass(frozen=True, slots=True, eq=False)
class _Counted:
    """Two models on the same images: of b only the first is right, of c only the second; one entry for each draw."""

    first: Standing
    second: Standing
    b: tuple[int, ...]
    c: tuple[int, ...]
    n: int
    share: float  # of the images that the second has right
    under: Hashable  # what it is judged under: rivals under the same can be ranked

    @property
    def differences(self) -> list[float]:
        return [(c - b) / self.n for b, c in zip(self.b, self.c, strict=True)]

    @property
    def p(self) -> float:
        return mcnemar(self.b[0], self.c[0])


def comparisons(standings: list[Standing], first: str) -> list[Row]:
    """The rows of all pairs; standings may come in any order."""
    pairs = [*_pairs(standings, first, _place), *_pairs(_against_itself(standings), first, _attack)]
    counted = [one for under, mine, rival in pairs if (one := _count(mine, rival, under))]
    raised = holm([one.p for one in counted])
    best = _best(counted)
    return [_row(one, p, best=one in best) for one, p in zip(counted, raised, strict=True)]


def _pairs(
    standings: Iterable[Standing], first: str, key: Callable[[Standing], Hashable]
) -> Iterator[tuple[Hashable, Standing, Standing]]:
    """Every other model's standing with the first model's under the same key."""
    every = list(standings)
    mine = {key(one): one for one in every if one.model == first}
    for one in every:
        rival = mine.get(key(one))
        if rival and one.model != first and (key is _place or rival.set != one.set):
            yield key(one), rival, one


def _place(one: Standing) -> Hashable:
    """The set as a whole: name, norm, budget, pixels, source."""
    return one.set, f"{one.threat.norm} {one.budget}", str(one.threat.pixels), one.source


def _attack(one: Standing) -> Hashable:
    """The attack, whatever its set is called."""
    line = one.threat
    how = (line.attack, line.steps, line.restarts, line.target, line.labels, line.queries)
    return how, line.norm, one.budget and as_float32(fraction(one.budget)), str(line.pixels), one.source


def _against_itself(standings: list[Standing]) -> list[Standing]:
    """Each model under each attack that was made against it alone; of several such sets the worst case of each image."""
    found: dict[tuple[str, Hashable], list[Standing]] = {}
    for one in standings:
        if one.kind == "adversarial" and one.threat.knowledge in STRONG:
            found.setdefault((one.model, _attack(one)), []).append(one)
    joined = (sets[0] if len(sets) == 1 else worst_of(sets) for sets in found.values())
    return [replace(one, kind="adversarial", threat=sets[0].threat)
            for one, sets in zip(joined, found.values(), strict=True) if one]  # fmt: skip


def _count(first: Standing, second: Standing, under: Hashable) -> _Counted | None:
    images = np.intersect1d(first.images, second.images, assume_unique=True)
    if not len(images):
        return None
    before, after = np.broadcast_arrays(*_as_long(first.of(images)[0], second.of(images)[0]))
    b, c = (tuple(map(int, one.sum(1))) for one in (before & ~after, after & ~before))
    return _Counted(first, second, b, c, len(images), float(after[0].mean()), under)


def _as_long(first: Array, second: Array) -> tuple[Array, Array]:
    """The draws that both models have; a model that does not draw is the same in all of them."""
    draws = min((len(one) for one in (first, second) if len(one) > 1), default=1)
    return first[:draws], second[:draws]


def _best(counted: list[_Counted]) -> list[_Counted]:
    """Of several rivals under the same attack, those with the most images right."""
    groups: dict[Hashable, list[_Counted]] = {}
    for one in counted:
        groups.setdefault(one.under, []).append(one)
    return [one for group in groups.values() for one in group if one.share == max(each.share for each in group)]


def _row(one: _Counted, p_holm: float, *, best: bool) -> Row:
    first, second = one.first, one.second
    low, high = difference_interval(one.b[0], one.c[0], one.n)
    figures = [Figure("difference", value, one.n, None, low, high) for value in one.differences]
    finding = _finding(one, low, high, p_holm)
    pair = Pair(first.model, one.b[0], one.c[0], one.p, first.threat, p_holm, finding, best)
    name = second.set if second.set == first.set else f"{second.set} / {first.set}"
    return replace(row(second.model, name, second.kind, second.budget, figures, second.threat), pair=pair)


def _finding(one: _Counted, low: float, high: float, p: float) -> str:
    knowledge = {one.first.threat.knowledge, one.second.threat.knowledge}
    if len(knowledge) > 1 and not knowledge <= {*STRONG}:
        return UNEQUAL
    agree = min(one.differences) > 0 or max(one.differences) < 0
    if agree and p < 1 - CONFIDENCE and (low > 0 or high < 0):
        return "better" if one.differences[0] > 0 else "worse"
    return "inconclusive"
