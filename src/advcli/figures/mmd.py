"""Whether two sets of images come from one distribution: the maximum mean discrepancy, and a test of it by permutation.

MMD^2 is the unbiased estimate with a Gaussian kernel, whose bandwidth is the median distance. Two files are compared, or the
originals and the attacked images of one. No image is in both samples: pairs of an image and its copy are not independent. The
test tells that samples differ, not which image was attacked.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.errors import CommandError
from advcli.evaluation.drawing import ONE, Drawing
from advcli.evaluation.outcomes import attack_of
from advcli.evaluation.picture_grid import FRAME, empty, plain
from advcli.evaluation.selected_rows import NONE, SelectedRows
from advcli.numerics.arrays import Array
from advcli.numerics.discrepancy import CLOSE, discrepancy, kernel, median_distance, p_value, permuted, squared_distances
from advcli.numerics.intervals import exact_interval
from advcli.numerics.rng import Purpose, SampleRNG

ACROSS, PANEL = 3, 1.65  # panels side by side, and the height of one in inches
FEWEST = 2  # images of a sample


@dataclass(frozen=True)
class Sample:
    """Images of one kind and one budget."""

    rows: SelectedRows
    kind: str  # originals, images or perturbations
    budget: str
    places: Array  # rows of the file

    @property
    def index(self) -> Array:
        return self.rows.opened.column("index")[self.places]

    @property
    def name(self) -> str:
        """The sample in a title."""
        kind = {"originals": " (originals)", "perturbations": " (perturbations)"}.get(self.kind, "")
        return f"{plain(self.rows.title, 30)}{kind}"

    def some(self, index: Array) -> "Sample":
        """The first row of each of these images."""
        known, first = np.unique(self.index, return_index=True)
        places = self.places[first[np.searchsorted(known, np.sort(index))]]
        return Sample(self.rows, self.kind, self.budget, np.sort(places))


@dataclass(frozen=True)
class Test:
    """The result of one comparison."""

    a: Sample
    b: Sample
    bandwidth: float
    observed: float
    null: Array

    @property
    def p(self) -> float:
        return p_value(self.observed, self.null)

    @property
    def budget(self) -> str:
        return self.b.budget if self.b.budget != NONE else self.a.budget


@figure(sets="all")
def mmd(
    sets: list[SelectedRows],
    *,
    sample: Annotated[int, Param("Most images of each of the two samples.", low=2, high=2000)] = 500,
    permutations: Annotated[int, Param("Number of permutations of the test.", low=1, high=100000)] = 1000,
    bins: Annotated[int, Param("Number of bins.", low=1, high=10000)] = 50,
    permutation_seed: Annotated[int, Param("Seed of the samples and of the permutations.", low=0)] = 0,
) -> Drawing:
    chosen = [_disjoint(a, b, sample, permutation_seed) for a, b in _pairs(sets)]
    tests = [_tested(a, b, permutations, permutation_seed) for a, b in chosen if min(len(a.places), len(b.places)) >= FEWEST]
    if not tests:
        words = f"no rows: a sample needs at least {FEWEST} images of its own"
        return Drawing(empty(f"{plain(', '.join(rows.title for rows in sets), 60)}: MMD", words), [])
    table = [line for test in tests for line in _lines(test, bins, permutation_seed)]
    return Drawing(_drawn(tests, bins), table)


def _pairs(sets: Sequence[SelectedRows]) -> list[tuple[Sample, Sample]]:
    """The samples that are compared, one pair for each budget."""
    if len(sets) > 2:
        raise CommandError(f"--figure mmd: compares two files, or originals and images of one; {len(sets)} were given")
    if len(sets) == 1:
        (rows,) = sets
        if "original" not in rows.opened:
            raise CommandError(f"--figure mmd: {rows.opened.path} has no originals to compare with; name a second file")
        return list(zip(_samples(rows, "originals"), _samples(rows, "images"), strict=True))
    first, second = sets
    if first.opened.signed != second.opened.signed or first.opened.shape != second.opened.shape:
        raise CommandError("--figure mmd: one file has images and the other perturbations, or images of another size")
    a, b = (_samples(rows, "perturbations" if rows.opened.signed else "images") for rows in sets)
    if [one.budget for one in a] == [one.budget for one in b]:
        return list(zip(a, b, strict=True))
    if min(len(a), len(b)) > 1:
        raise CommandError("--figure mmd: the files have other budgets; choose one with --where epsilon=X")
    return [(one, other) for one in a for other in b]


def _samples(rows: SelectedRows, kind: str) -> list[Sample]:
    texts, number = rows.budgets
    return [Sample(rows, kind, text, rows.places[number == k]) for k, text in enumerate(texts)]


def _disjoint(a: Sample, b: Sample, count: int, seed: int) -> tuple[Sample, Sample]:
    """At most `count` images of each, none of them in both, in a random order."""
    left, right = (_ordered(np.unique(one.index), seed) for one in (a, b))
    both = left[np.isin(left, right)] if _source(a) == _source(b) else left[:0]
    left, right = left[~np.isin(left, both)], right[~np.isin(right, both)]
    room = max(0, count - len(left)), max(0, count - len(right))
    share = room[0] if sum(room) <= len(both) else (len(left) + len(right) + len(both)) // 2 - len(left)
    share = min(max(share, 0), len(both))
    return a.some(np.append(left, both[:share])[:count]), b.some(np.append(right, both[share:])[:count])


def _source(sample: Sample) -> object:
    """The data that a row's index is a position in."""
    header = sample.rows.opened.header
    data = (attack_of(header) or header)["made"].get("data") or {}
    return data.get("name"), data.get("split")


def _ordered(index: Array, seed: int) -> Array:
    """The images in a random order, in which each has the same place whatever others there are."""
    drawn = SampleRNG(seed, torch.from_numpy(index), (Purpose.STATISTICS, "mmd", "sample")).bits(1)[:, 0].numpy()
    found: Array = index[np.argsort(drawn, kind="stable")]
    return found


def _tested(a: Sample, b: Sample, permutations: int, seed: int) -> Test:
    m, count = len(a.places), len(a.places) + len(b.places)
    squared = squared_distances(_points(a, b), count)
    bandwidth = median_distance(squared)
    k = kernel(squared, bandwidth)

    def draws(start: int, stop: int) -> Array:
        ids = torch.arange(start, min(stop, permutations))
        found: Array = SampleRNG(seed, ids, (Purpose.STATISTICS, "mmd", "order")).bits(count).numpy().argsort(1, kind="stable")
        return found

    observed = float(discrepancy(k, (np.arange(count) < m)[:, None])[0])
    return Test(a, b, bandwidth, observed, permuted(k, m, draws))


def _points(a: Sample, b: Sample) -> Callable[[], Iterator[tuple[slice, Array]]]:
    """The pixels of both samples, in batches, as often as they are needed."""

    def batches() -> Iterator[tuple[slice, Array]]:
        for one, first in ((a, 0), (b, len(a.places))):
            for part, made in one.rows.batches(one.kind, of=one.places):
                yield slice(first + part.start, first + part.stop), made[one.kind].reshape(part.stop - part.start, -1)

    return batches


def _lines(test: Test, bins: int, seed: int) -> list[dict[str, Any]]:
    """The rows of the CSV: the test, the histogram, and the rows of both samples."""
    k, n = int(np.count_nonzero(test.null >= test.observed - CLOSE)), len(test.null)
    low, high = exact_interval(k, n)
    names = {"a": test.a.name, "b": test.b.name, "epsilon": test.budget}
    found: list[dict[str, Any]] = [
        {"of": "test", **names, "size_a": len(test.a.places), "size_b": len(test.b.places), "bandwidth": test.bandwidth}
        | {"mmd2": test.observed, "p": test.p, "k": k, "n": n, "low": low, "high": high, "seed": seed}
    ]
    counts, edges = np.histogram(test.null, bins)
    for count, start, stop in zip(counts, edges[:-1], edges[1:], strict=True):
        found.append({"of": "permuted", **names, "from": float(start), "to": float(stop), "count": int(count)})
    for of, sample in (("row of a", test.a), ("row of b", test.b)):
        found += [{"of": of, **names, "row": int(place)} for place in sample.places]
    return found


def _drawn(tests: list[Test], bins: int) -> Figure:
    """One histogram of permuted statistics for each budget, all on the same axis."""
    across = min(ACROSS, len(tests))
    down = -(-len(tests) // across)
    whole = Figure(figsize=(7.0 if across > 1 else 4.2, PANEL * down + 0.8))
    first = tests[0]
    whole.suptitle(f"{first.a.name} against {first.b.name}\n{len(first.null)} permutations ({first.b.rows.rows})", fontsize=9)
    grid = list(whole.subplots(down, across, squeeze=False, sharex=True).flat)
    for axes in grid[len(tests) :]:
        axes.axis("off")
    for axes, test in zip(grid, tests, strict=False):
        _panel(axes, test, bins)
    grid[0].legend(fontsize=6.5, frameon=False)
    whole.supxlabel("MMD² (unbiased, Gaussian kernel)", fontsize=8)
    whole.supylabel("permutations", fontsize=8)
    return whole


def _panel(axes: Axes, test: Test, bins: int) -> None:
    counts, edges = np.histogram(test.null, bins)
    axes.stairs(counts, edges, fill=True, color=ONE, label="permuted")
    axes.axvline(test.observed, color=FRAME, linestyle="--", linewidth=1.4, label="observed")
    budget = "" if test.budget == NONE else f"budget {test.budget}: "
    sizes = f"{len(test.a.places)} and {len(test.b.places)} images, bandwidth {test.bandwidth:.3g}"
    axes.set_title(f"{budget}MMD² = {test.observed:.3g}, p = {test.p:.2g}\n{sizes}", fontsize=7)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelbottom=True)
