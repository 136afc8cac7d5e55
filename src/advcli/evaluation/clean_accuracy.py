"""What the clean accuracy of a model says about the way it was brought here: is it chance, or are its classes permuted?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from advcli.images.dataset import ranks
from advcli.numerics.arrays import Array
from advcli.numerics.chance import FEWEST, is_chance
from advcli.numerics.intervals import exact_interval
from advcli.numerics.paired_tests import mcnemar

CHANCE = "no better than chance"
PERMUTED = "the order of the classes looks permuted"
DOUBTS = (CHANCE, PERMUTED)
CAUSES = (
    "likely causes: a wrong --mean or --std, pixels in 0..255, channels in BGR, another order of --classes, "
    "or other data than the model was made for"
)
LOOK = "; advcli import with --data looks for the cause"
SURE = 0.001
MOST_CLASSES = 1024
LISTED = 20  # classes that a message spells out


@dataclass(frozen=True, slots=True)
class CleanAccuracy:
    """How many of n labelled images a model has right; `most` are of the most frequent of `kinds` classes."""

    right: int
    n: int
    most: int
    kinds: int
    order: tuple[str, ...] | None = None  # of the model's outputs, where another one is right far more often
    reordered: float = 0.0  # the accuracy in that order
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, labels: Array, predictions: Array, classes: Sequence[str]) -> "CleanAccuracy":
        """The accuracy on the images that have a label and were not rejected."""
        known = (labels >= 0) & (predictions >= 0)
        labels, predictions = labels[known], predictions[known]
        counts = np.unique(labels, return_counts=True)[1]
        right, n = int((labels == predictions).sum()), len(labels)
        found = cls(right, n, int(counts.max(initial=0)), len(counts), classes=tuple(classes))
        if n < FEWEST or len(counts) < 2 or (answer := permutation(labels, predictions)) is None:
            return found
        order = list(classes)
        for label, one in answer.items():
            order[one] = classes[label]
        better = float(np.mean([answer[int(label)] == one for label, one in zip(labels, predictions, strict=True)]))
        return cls(right, n, found.most, found.kinds, tuple(order), better, tuple(classes))

    @property
    def is_chance(self) -> bool:
        """True if always giving the most frequent class would be as good; never where there is too little to say so."""
        return self.n >= FEWEST and self.kinds > 1 and is_chance(self.right, self.n, self.most)

    def __str__(self) -> str:
        low, high = exact_interval(self.right, self.n)
        return f"{self.right} of {self.n} ({self.right / max(1, self.n):.1%}, 95 % interval {low:.1%} to {high:.1%})"

    def doubt(self, way_on: str = LOOK) -> str | None:
        """What looks wrong with the model, with the likely causes and the remedy; None if nothing does."""
        rate = f"{self.right} of {self.n} clean images are right ({self.right / max(1, self.n):.1%})"
        if self.order is not None:
            at = f", {CHANCE}" if self.is_chance else ""
            return f"{PERMUTED}: {rate}{at}, and {self.reordered:.1%} in another order; import it again with {self._spelled()}"
        if self.is_chance:
            return f"{rate}, {CHANCE} (always the most frequent class: {self.most / self.n:.1%}); {CAUSES}{way_on}"
        return None

    def _spelled(self) -> str:
        """The better order as an option; of many classes, some that move."""
        assert self.order is not None
        if len(self.order) <= LISTED:
            return f"--classes {','.join(self.order)}"
        moved = [k for k, (old, new) in enumerate(zip(self.classes, self.order, strict=True)) if old != new]
        some = ", ".join(f"{self.order[k]} as output {k}" for k in moved[:5])
        return f"--classes in the order of its outputs: {some}{', ...' * (len(moved) > 5)}"


def is_about_clean(note: str) -> bool:
    """True for the text of a doubt: no figure of the model may stand without it."""
    return any(one in note for one in DOUBTS)


def permutation(labels: Array, predictions: Array) -> dict[int, int] | None:
    """The prediction that stands for each class, if the classes are permuted; None if they are not.

    The permutation is found on one half of the images, and counts if it has far more of the other half right (McNemar's exact
    test) and if every class that it moves is predicted in its new place more often than as any other.
    """
    seen = np.unique(np.concatenate([labels, predictions]))
    if len(seen) > MOST_CLASSES:
        return None
    label, answer = np.searchsorted(seen, labels), np.searchsorted(seen, predictions)
    whole, first = np.zeros((len(seen), len(seen))), ranks(labels) % 2 == 0
    np.add.at(whole, (label, answer), 1)
    half = np.eye(len(seen)) / (len(seen) + 1)  # a tie leaves a class in its place
    np.add.at(half, (label[first], answer[first]), 1)
    _, place = linear_sum_assignment(half, maximize=True)
    moved = np.flatnonzero((place != np.arange(len(seen))) & (whole.sum(1) > 0))
    if not len(moved) or (whole[moved, place[moved]] < whole[moved].max(1)).any():
        return None
    given, other = (label == answer)[~first], (place[label] == answer)[~first]
    b, c = int((given & ~other).sum()), int((other & ~given).sum())
    if c <= b or mcnemar(b, c) >= SURE:
        return None
    return {int(seen[k]): int(seen[place[k]]) for k in range(len(seen))}
