"""A model's decisions on the images of one set: the input of every metric."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np

from advcli.errors import CommandError
from advcli.numerics.arrays import Array
from advcli.numerics.intervals import exact_interval
from advcli.numerics.quantities import Budget

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Decisions:
    """A model's decisions on some images; `rank` is the number of classes that score above the label.

    `score` is the detector's score minus its threshold, for models that can reject: above zero it is a rejection.
    """

    answers: Array  # the best class, rejected or not
    rank: Array
    confidence: Array  # the probability of the answer
    score: Array | None = None
    logit: Array | None = None  # the largest logit, that of the answer

    def __getitem__(self, mask: Array) -> "Decisions":
        score = None if self.score is None else self.score[mask]
        logit = None if self.logit is None else self.logit[mask]
        return Decisions(self.answers[mask], self.rank[mask], self.confidence[mask], score, logit)

    @property
    def beyond(self) -> Array:
        """The detector's score minus its threshold, for a metric that needs "score"."""
        return needed(self.score, "score")

    @property
    def predictions(self) -> Array:
        """The answers; -1 where the model rejects."""
        return self.answers if self.score is None else np.where(self.score > 0, -1, self.answers)


@dataclass(frozen=True, slots=True)
class Noise:
    """Decisions on noisy copies of some rows, computed on demand: `count` takes places, purpose and copies."""

    sigma: float
    rows: Array
    count: Callable[[Array, str, int], Array]

    def __getitem__(self, mask: Array) -> "Noise":
        return replace(self, rows=self.rows[mask])

    def votes(self, purpose: str, copies: int) -> Array:
        """(rows, classes) how often each class was decided on; each purpose has draws of its own."""
        return self.count(self.rows, purpose, copies)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Proofs about some rows, computed on demand: `prove` takes places, budget, norm, method, iterations."""

    norm: str  # of the set; linf where nobody attacked
    budgets: Callable[[str], tuple[Budget, ...]]  # what was asked for, or the set's own, or the default of a norm
    rows: Array
    prove: Callable[[Array, float, str, str, int], Array]

    def __getitem__(self, mask: Array) -> "Bounds":
        return replace(self, rows=self.rows[mask])

    def margins(self, budget: Budget, norm: str, method: str, iterations: int = 0) -> Array:
        """(rows,) lower bounds of the margin of each row's clean image, for every change within the budget."""
        return self.prove(self.rows, budget.value, norm, method, iterations)


def needed(found: T | None, need: str) -> T:
    """The value that a metric asked for; an error explains the missing trait."""
    if found is None:
        raise CommandError(f'a metric reads "{need}" and does not ask for it; write @metric(..., needs=("{need}",))')
    return found


@dataclass(frozen=True, slots=True)
class Certificate:
    """The conditions of a certified figure: each image holds with probability 1 - alpha, counted on noisy copies."""

    norm: str
    alpha: float
    copies: int
    first_copies: int
    sigma: float
    epsilon: str | None = None

    def words(self) -> str:
        """The conditions as a table shows them."""
        noise = f"noise {self.sigma:g}, {self.copies} copies after {self.first_copies}"
        return f"certified, {self.norm}, alpha {self.alpha:g}, {noise}"

    def document(self) -> dict[str, Any]:
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in found.items() if name != "epsilon" or value is not None}


@dataclass(frozen=True, slots=True)
class Proof:
    """The conditions of a figure that is proved for every image of a ball."""

    norm: str
    epsilon: str
    method: str
    iterations: int = 0

    def words(self) -> str:
        """The conditions as a table shows them."""
        steps = f", {self.iterations} iterations" if self.iterations else ""
        return f"proved, {self.norm}: no attack within eps exists ({self.method} bounds{steps})"

    def document(self) -> dict[str, Any]:
        found = {"norm": self.norm, "epsilon": self.epsilon, "bounds": self.method}
        return {**found, "iterations": self.iterations} if self.iterations else found


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a report; a rate has its counts and their exact interval."""

    metric: str
    value: float
    n: int
    k: int | None = None
    low: float | None = None
    high: float | None = None
    about: dict[str, Any] = field(default_factory=dict)
    certificate: Certificate | Proof | None = None  # where it is proved and not attacked


def rate(metric: str, k: int, n: int, **about: Any) -> Figure:
    """k of n with its interval; 0 of 0 is 0, and marked."""
    low, high = exact_interval(k, n)
    return Figure(metric, k / n if n else 0.0, n, k, low, high, about if n else {**about, "undefined": True})


@dataclass(frozen=True, slots=True)
class Distances:
    """The distance of each row from its original."""

    linf: Array
    l2: Array

    def __getitem__(self, mask: Array) -> "Distances":
        return Distances(self.linf[mask], self.l2[mask])


@dataclass(frozen=True, slots=True)
class FilterEffect:
    """Decisions on the other side of a filter, for each row of a filtered set."""

    attacked: Decisions  # on the attacked image before the filter
    original: Decisions  # on the original after it

    def __getitem__(self, mask: Array) -> "FilterEffect":
        return FilterEffect(self.attacked[mask], self.original[mask])


ROWS = (np.ndarray, Decisions, Noise, Bounds, Distances, FilterEffect)  # what has an entry for each row
V = TypeVar("V", bound="Verdicts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """Decisions on the rows of one set at one budget."""

    classes: tuple[str, ...]
    labels: Array
    said: Decisions
    image: Array | None = None  # which image of the source a row was made of; None: each row is an image of its own
    asked_noise: Noise | None = None  # there if a metric needs "noise"
    asked_bounds: Bounds | None = None  # there if a metric needs "bounds"
    generated: bool = False  # made out of nothing: an image has no class to lose, and whatever is its target can be reached

    def __getitem__(self: V, mask: Array) -> V:
        found: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        rows: dict[str, Any] = {name: value[mask] for name, value in found.items() if isinstance(value, ROWS)}
        return replace(self, **rows)

    def known(self: V) -> V:
        """The rows that have a label."""
        return self[self.labels >= 0]

    @property
    def predictions(self) -> Array:
        return self.said.predictions

    @property
    def images(self) -> int:
        """The number of images behind the rows: the sample size of a figure, however many rows there are."""
        return len(self.labels) if self.image is None else len(np.unique(self.image))

    def share(self, metric: str, hits: Array, among: Array | None = None, **about: Any) -> Figure:
        """The share of the rows `among` for which `hits` holds; n and the interval count images.

        Several rows of one image are not independent trials. Their interval is that of as many images as would vary as much
        if all rows of an image agreed (Kish's effective number), which is the widest case.
        """
        kept = self if among is None else self[among]
        hits = hits if among is None else hits[among]
        k, n = int(hits.sum()), len(hits)
        if kept.images == n:
            return rate(metric, k, n, **about)
        _, sizes = np.unique(needed(kept.image, "image"), return_counts=True)
        alike = n**2 / float((sizes**2).sum())
        low, high = exact_interval(alike * k / n, alike)
        return Figure(metric, k / n, kept.images, None, low, high, {**about, "rows": n, "hits": k})

    def throughout(self, metric: str, holds: Array, **about: Any) -> Figure:
        """The share of images for which something holds in all of their rows."""
        return rate(metric, int(self.in_all_rows(holds).sum()), self.images, **about)

    def in_all_rows(self, holds: Array) -> Array:
        """(images,) whether something holds in all rows of an image."""
        if self.image is None:
            return holds
        numbers, place = np.unique(self.image, return_inverse=True)
        found = np.ones(len(numbers), bool)
        np.logical_and.at(found, place, holds)
        return found

    @property
    def noise(self) -> Noise:
        """Decisions on noisy copies, for a metric that needs "noise"."""
        return needed(self.asked_noise, "noise")

    @property
    def bounds(self) -> Bounds:
        """Proofs about the clean images, for a metric that needs "bounds"."""
        return needed(self.asked_bounds, "bounds")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackedVerdicts(Verdicts):
    """Decisions on the rows of an adversarial set, and what is known of their originals."""

    before: Decisions  # on the originals, by the same model
    original: Array  # which of the originals a row was made of
    targets: Array
    attacked: Array  # whether the attack worked on the row: its victim had the original right
    asked_victim: Array | None = None  # there if a metric needs "victim"
    recomputed: bool = False  # whether the victim was asked again, or its stored predictions taken
    stages: tuple[str, ...] = ()  # of a cascade of attacks
    asked_stage: Array | None = None  # which of them broke each row; there if a metric needs "stages" of a set that has them
    asked_distance: Distances | None = None  # there if a metric needs "distance"
    asked_filter: FilterEffect | None = None  # there if a metric needs "filter" and the set was filtered
    asked_rank: Array | None = None  # there if a metric needs "rank"

    @property
    def clean(self) -> Array:
        """Decisions on the originals."""
        return self.before.predictions

    @property
    def victim(self) -> Array:
        """The attacked model's decisions on the same images, for a metric that needs "victim"."""
        return needed(self.asked_victim, "victim")

    @property
    def stage(self) -> Array:
        """The stage that broke each row, -1 for none; for a metric that needs "stages"."""
        return needed(self.asked_stage, "stages")

    @property
    def distance(self) -> Distances:
        """The distance of each row from its original, for a metric that needs "distance"."""
        return needed(self.asked_distance, "distance")

    @property
    def filter(self) -> FilterEffect:
        """Decisions on the other side of the set's filter, for a metric that needs "filter"."""
        return needed(self.asked_filter, "filter")

    @property
    def rank_before(self) -> Array:
        """The number of classes that scored above the row's answer on its original, for a metric that needs "rank"."""
        return needed(self.asked_rank, "rank")


Figures = Iterator[Figure]
