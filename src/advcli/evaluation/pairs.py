"""Pairs of classes: the class of an image and the class that the attack moves it to; and means over such pairs.

The target of an untargeted row is the class that the model then says. The means in memory take at most 128 MB: for more pairs
the rows are read in several turns, each row once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from advcli.evaluation.selected_rows import SelectedRows
from advcli.files.imageset_reader import ImageSet
from advcli.numerics.arrays import Array

MOST_BYTES = 1 << 27
NO_SOURCE, NO_TARGET = "no label", "rejected"


@dataclass(frozen=True)
class Pairs:
    """The source and the target of every selected row; the number after the last class is that of a row without one."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    source: Array
    target: Array

    @property
    def unmoved(self) -> Array:
        """A mask of the rows whose target is their own class: of an untargeted attack, those that failed."""
        found: Array = (self.source == self.target) & (self.source < len(self.sources) - 1)
        return found

    def named(self, source: int, target: int) -> dict[str, str]:
        """The cells of a CSV that name a pair."""
        return {"source": self.sources[source], "target": self.targets[target]}


def pairs_of(rows: SelectedRows) -> Pairs:
    """The pairs of the selected rows."""
    classes = rows.opened.classes
    aimed, reached = rows.column("target"), rows.column("prediction")
    target = np.where(aimed >= 0, aimed, reached) % (len(classes) + 1)  # -1: the last
    return Pairs((*classes, NO_SOURCE), (*classes, NO_TARGET), rows.column("labels") % (len(classes) + 1), target)


def exactly(values: Array) -> Array:
    """Images in the precision of the sums."""
    return values.astype(np.float64)


def means(
    rows: SelectedRows, kind: str, cell: Array, change: Callable[[Array], Array] = exactly
) -> Iterator[tuple[int, int, Array]]:
    """(cell, number of its rows, their mean) of every cell that has rows, in order; `change` is applied to the images first.

    `cell` is the number of each row's cell, or -1.
    """
    present, one = np.unique(cell[cell >= 0]), change(np.zeros((1, *rows.opened.shape), np.float32))
    step = max(1, MOST_BYTES // max(1, one.nbytes))
    for start in range(0, len(present), step):
        some = present[start : start + step]
        mine = np.flatnonzero(np.isin(cell, some))
        number = np.searchsorted(some, cell[mine])
        batches = ((number[part], change(found[kind])) for part, found in rows.batches(kind, of=rows.places[mine]))
        counts = np.bincount(number, minlength=len(some))
        for which, count, total in zip(some, counts, _sums(batches, len(some), one.shape[1:]), strict=True):
            yield int(which), int(count), total / count


def class_means(opened: ImageSet) -> tuple[Array, Array]:
    """(classes, C, H, W) the mean of the originals of every class in the file, and their number; each original counts once."""
    label = _labels_of_originals(opened)
    pieces = ((label[start:stop], opened.rows("originals", start, stop).numpy()) for start, stop in opened.spans("originals"))
    known = ((number[number >= 0], exactly(values[number >= 0])) for number, values in pieces)
    counts = np.bincount(label[label >= 0], minlength=len(opened.classes))
    return _sums(known, len(counts), opened.shape) / np.maximum(counts, 1).reshape(-1, 1, 1, 1), counts


def class_samples(opened: ImageSet) -> tuple[Array, Array]:
    """(classes, C, H, W) the first original of every class in the file, and how many there are."""
    label = _labels_of_originals(opened)
    found = np.zeros((len(opened.classes), *opened.shape))
    present, first = np.unique(label, return_index=True)
    found[present[present >= 0]] = opened.pick("originals", first[present >= 0]).numpy()
    return found, np.bincount(label[label >= 0], minlength=len(found))


def _labels_of_originals(opened: ImageSet) -> Array:
    """The label of every original, by its place in the file; -1 where it has none, or no row."""
    found = np.full(opened.kept("originals")[1][0], -1)
    found[opened.column("original")] = opened.column("labels")
    return found


def _sums(batches: Iterator[tuple[Array, Array]], cells: int, shape: tuple[int, ...]) -> Array:
    """(cells, ...) the sum of the values of each cell."""
    found = np.zeros((cells, *shape))
    for number, values in batches:
        order = np.argsort(number, kind="stable")
        present, first = np.unique(number[order], return_index=True)
        if len(present):
            found[present] += np.add.reduceat(values[order], first)
    return found
