"""The nearest leaf of another class: exact on a decision tree, a search over the leaves on a forest.

A leaf is a box: every pixel on its path has a lower and an upper bound. The image goes to the nearest point of the nearest
leaf that reaches the goal; only pixels on that path change, and they stay in [0, 1]. Where no such leaf can be reached, the
attack fails. On a forest the image goes from leaf to leaf, each time to the one whose tree gains most for the distance, as long
as the forest agrees; then it takes back every pixel, the largest change first, that is not needed.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor

from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.networks.structure import Leaves
from advcli.numerics.balls import TINY, per_sample
from advcli.numerics.rng import SampleRNG
from advcli.search.best import take
from advcli.search.bisection import bisect_to_boundary
from advcli.search.goal import Goal
from advcli.search.victim import Victim

AT_ONCE = 1 << 21  # bounds of leaves that are compared at a time
FINE = 1e-3  # of the way back to the image
TOGETHER = 5  # trees whose best leaves are tried before all leaves are compared again


@attack(
    family="structure",
    kind="minimal",
    norms=("linf", "l2", "l1", "l0"),
    access="structure",
    structure="leaves",
    within=None,
    paper="arXiv:1605.07277",
)
def tree(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    norm: Annotated[Literal["linf", "l2", "l1", "l0"], Param("Norm of the distance; l0 counts changed pixels.")] = "l2",
    rounds: Annotated[int, Param("Largest number of comparisons of all leaves of a forest.", low=1)] = 50,
) -> Tensor:
    leaves = victim.parts(Leaves)
    single = not bool(leaves.tree.any())
    found = x.clone()
    for some in _groups(len(x), leaves.feature.numel()):
        point, goals = x[some].flatten(1), goal[some]
        if single:
            point = nearest(leaves, point, reaching(leaves, goals), norm)
        else:
            walk = Walk(leaves, x[some], norm)
            point = walk.back(victim[some], goals, walk.there(victim[some], goals, rounds)).flatten(1)
        found[some] = point.view_as(found[some])
    return found


def _groups(count: int, each: int) -> Iterator[Tensor]:
    """The places of images, few enough at a time for the memory."""
    yield from torch.split(torch.arange(count), max(1, AT_ONCE // each))


def reaching(leaves: Leaves, goal: Goal) -> Tensor:
    """(N, L) whether a leaf of a single tree reaches the goal of each image."""
    found = torch.zeros(len(goal.label), len(leaves.logits), dtype=torch.bool, device=goal.label.device)
    for label in torch.unique(goal.label):
        same = goal.label == label
        found[same] = Goal(label.expand(len(leaves.logits)), goal.targeted).reached(leaves.logits)
    return found


def places(leaves: Leaves, point: Tensor) -> tuple[Tensor, Tensor]:
    """(N, L, P) the nearest values of the path's pixels that lie in each leaf, and (N, L) whether an image can have them."""
    value = point[:, leaves.feature]
    lowest = torch.nextafter(leaves.low, torch.full_like(leaves.low, torch.inf))
    aim = torch.where(value <= leaves.low, lowest, torch.minimum(value, leaves.high))
    possible = (leaves.low < leaves.high) & (lowest <= 1) & (leaves.high >= 0)
    return aim, possible.all(1).expand(len(point), -1)


def sizes(leaves: Leaves, change: Tensor, norm: str) -> Tensor:
    """(N, L, P) what each pixel adds to the distance (l2: to its square); 0 for what is not on the path."""
    size = (change.double().abs() > 0).double() if norm == "l0" else change.double().abs()
    return (size.square() if norm == "l2" else size) * leaves.used


def total(size: Tensor, norm: str) -> Tensor:
    """(N, L) the distance, of l2 its square."""
    return size.amax(2) if norm == "linf" else size.sum(2)


def nearest(leaves: Leaves, x: Tensor, wanted: Tensor, norm: str) -> Tensor:
    """The nearest points in the wanted leaves; x itself where none of them holds a possible image."""
    aim, possible = places(leaves, x)
    value = x[:, leaves.feature].double()
    far = total(sizes(leaves, aim.double() - value, norm), norm).masked_fill(~(wanted & possible), torch.inf)
    best, which = far.min(1)
    return torch.where(best.isfinite()[:, None], moved(leaves, x, aim, which), x)


def moved(leaves: Leaves, point: Tensor, aim: Tensor, which: Tensor) -> Tensor:
    """The points in one leaf each."""
    rows = torch.arange(len(point), device=point.device)
    return point.scatter(1, leaves.feature[which], aim[rows, which])


class Walk:
    """The way of some images through the leaves of a forest, and back."""

    def __init__(self, leaves: Leaves, x: Tensor, norm: str) -> None:
        self.leaves, self.x, self.norm = leaves, x, norm
        self.trees = int(leaves.tree.max()) + 1

    def there(self, victim: Victim, goal: Goal, rounds: int) -> Tensor:
        """The images where the forest reaches the goal, or as near to that as the leaves came."""
        point, logits = self.x.clone(), victim(self.x)
        useless = torch.zeros(len(point), len(self.leaves.tree), dtype=torch.bool, device=point.device)
        rows = torch.arange(len(point), device=point.device)
        for _ in range(rounds):
            live = ~goal.reached(logits)
            victim, goal, rows, logits = take(live, victim, goal, rows, logits)
            which, aim = self._best(point[rows], self.x[rows], goal, logits, useless[rows])
            live = (which >= 0).any(1)
            victim, goal, rows, logits, which, aim = take(live, victim, goal, rows, logits, which, aim)
            if not len(rows):
                break
            for leaf in which.unbind(1):
                step = moved(self.leaves, point[rows].flatten(1), aim, leaf.clamp_min(0)).view_as(point[rows])
                said, open_ = victim(step), ~goal.reached(logits) & (leaf >= 0)
                better = open_ & (goal.margin(said) > goal.margin(logits))
                useless[rows[open_], leaf[open_]] = ~better[open_]
                point[rows[better]] = step[better]
                logits = torch.where(better[:, None], said, logits)
        return point

    def _best(self, point: Tensor, x: Tensor, goal: Goal, logits: Tensor, useless: Tensor) -> tuple[Tensor, Tensor]:
        """(N, M) the leaves of different trees that gain most for the distance, -1 for none, and the pixels there."""
        leaves, flat, origin = self.leaves, point.flatten(1), x.flatten(1)
        aim, possible = places(leaves, flat)
        value, start = flat[:, leaves.feature], origin[:, leaves.feature]
        inside = (aim == value).all(2)
        rival = logits.scatter(1, goal.label[:, None], -torch.inf).argmax(1)
        win, lose = (goal.label, rival) if goal.targeted else (rival, goal.label)
        worth = (leaves.share[:, win] - leaves.share[:, lose]).T.double()
        now = worth.new_zeros(len(flat), self.trees).index_add(1, leaves.tree, worth * inside)
        gain = worth - now[:, leaves.tree]
        costs = total(sizes(leaves, aim.double() - start, self.norm), self.norm)
        if self.norm == "linf":
            costs = (costs - (flat - origin).double().abs().amax(1)[:, None]).clamp_min(0)
        else:
            costs = costs - total(sizes(leaves, value.double() - start, self.norm), self.norm)
        usable = possible & ~inside & ~useless & (gain > 0)
        rate = (gain / costs.clamp_min(TINY)).masked_fill(~usable, -torch.inf)
        return self._of_each_tree(rate), aim

    def _of_each_tree(self, rate: Tensor) -> Tensor:
        """(N, M) the leaf of the largest rate of each tree, for the trees where it is largest; -1 where there is none."""
        tree = self.leaves.tree.expand_as(rate)
        best = rate.new_full((len(rate), self.trees), -torch.inf).scatter_reduce(1, tree, rate, "amax")
        number = (
            torch.arange(rate.shape[1], device=rate.device).expand_as(rate).where(rate == best.gather(1, tree), rate.shape[1])
        )
        leaf = torch.full_like(best, rate.shape[1], dtype=torch.int64).scatter_reduce(1, tree, number, "amin")
        value, order = best.topk(min(TOGETHER, self.trees), 1)
        return leaf.gather(1, order).where(value.isfinite(), -1)

    def back(self, victim: Victim, goal: Goal, point: Tensor) -> Tensor:
        """The points with every change taken back that the goal does not need; x where it was not reached."""
        met = goal.reached(victim(point))
        found = self.x.clone()
        victim, goal, x, point = take(met, victim, goal, self.x, point)
        if len(x):
            point = bisect_to_boundary(victim, goal, x, point, FINE)
            found[met] = self._undone(victim, goal, x, point)
        return found

    def _undone(self, victim: Victim, goal: Goal, x: Tensor, point: Tensor) -> Tensor:
        change = (point - x).flatten(1).abs()
        order = change.argsort(dim=1, descending=True, stable=True)
        for k in range(int((change > 0).sum(1).max())):
            which = order[:, k : k + 1]
            less = point.flatten(1).scatter(1, which, x.flatten(1).gather(1, which)).view_as(point)
            point = torch.where(per_sample(goal.reached(victim(less)), x), less, point)
        return point
