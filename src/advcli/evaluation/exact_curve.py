"""The curve of a minimal-norm attack at every budget at once: a step at the distance of every image.

At a budget below its distance a row counts as its original, and from its distance on as the attack left it, as `within` has it at
single budgets. So the accuracy is an upper bound on robust accuracy.
"""

from dataclasses import dataclass, replace

import numpy as np

from advcli.evaluation.broken import turned
from advcli.evaluation.decisions import AttackedVerdicts
from advcli.numerics.arrays import Array
from advcli.numerics.intervals import exact_interval


@dataclass(frozen=True, slots=True)
class Steps:
    """k of n rows at the distance `at` and up to the next one; `alike` of them are independent, and belong to `images`."""

    at: Array
    k: Array
    n: int
    images: int
    alike: float

    @property
    def value(self) -> Array:
        """The rates; no numbers if there are no rows."""
        return self.k / self.n if self.n else np.full(len(self.k), np.nan)

    @property
    def ends(self) -> tuple[Array, Array]:
        """The ends of the exact intervals."""
        share = self.alike / self.n if self.n else 0.0
        once, place = np.unique(self.k, return_inverse=True)
        found = np.array([exact_interval(share * k, self.alike) for k in once.tolist()]).reshape(-1, 2)
        return found[place, 0], found[place, 1]


def accuracy_steps(verdicts: AttackedVerdicts, distance: Array) -> Steps:
    """The images that are correct in all of their rows."""
    kept = verdicts.labels >= 0
    known, distance = verdicts[kept], distance[kept]
    grid, place = _grid(distance)
    image = np.arange(len(distance)) if known.image is None else np.unique(known.image, return_inverse=True)[1]
    outside, inside = known.clean != known.labels, known.predictions != known.labels
    order = np.lexsort((distance, image))
    begin = np.bincount(image, outside, int(image.max(initial=-1)) + 1).astype(np.int64)
    change = (inside.astype(np.int64) - outside)[order]
    total = np.cumsum(change)
    first = np.searchsorted(image[order], np.arange(len(begin)))
    wrong = total - (total - change)[first][image[order]] + begin[image[order]]  # rows of the image that are wrong from here on
    moved = (wrong == 0).astype(np.int64) - (wrong - change == 0)
    k = np.bincount(place[order], moved, len(grid)).cumsum().round().astype(np.int64) + int((begin == 0).sum())
    return Steps(grid, k, known.images, known.images, known.images)


def success_steps(verdicts: AttackedVerdicts, distance: Array) -> Steps:
    """The rows that the attack broke, of those that it could break."""
    labels = np.where(verdicts.labels < 0, verdicts.clean, verdicts.labels)
    kept = labels >= 0
    known, distance = replace(verdicts, labels=labels)[kept], distance[kept]
    won, right = turned(known)
    grid, place = _grid(distance)
    k = np.bincount(place[won], minlength=len(grid)).cumsum()
    n, among = int(right.sum()), known[right]
    sizes = np.unique(among.image, return_counts=True)[1] if among.image is not None else np.ones(n)
    return Steps(grid, k, n, among.images, n**2 / float((sizes**2).sum()) if n else 0.0)


def _grid(distance: Array) -> tuple[Array, Array]:
    """The distances with 0 before them, each once, and every row's place among them."""
    grid = np.unique(np.append(0.0, distance))
    return grid, np.searchsorted(grid, distance)
