"""What a model decided on the images of one set: all that a metric may look at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from advcli.numerics.arrays import Array
from advcli.numerics.intervals import exact_interval


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a model says of some images; `rank` is how many classes score above the label's.

    `score` is of models that can reject: how far their detector is beyond its threshold. Above zero is a rejection.
    """

    answers: Array  # the best class, rejected or not
    rank: Array
    confidence: Array  # the probability of the answer
    score: Array | None = None

    def __getitem__(self, mask: Array) -> "Decisions":
        score = None if self.score is None else self.score[mask]
        return Decisions(self.answers[mask], self.rank[mask], self.confidence[mask], score)

    @property
    def predictions(self) -> Array:
        """The answers; -1 where the model rejects."""
        return self.answers if self.score is None else np.where(self.score > 0, -1, self.answers)


@dataclass(frozen=True, slots=True)
class Noise:
    """Decisions on noisy copies of some rows, taken when a metric asks: `count` of places, purpose and copies."""

    sigma: float
    rows: Array
    count: Callable[[Array, str, int], Array]

    def __getitem__(self, mask: Array) -> "Noise":
        return replace(self, rows=self.rows[mask])

    def votes(self, purpose: str, copies: int) -> Array:
        """(rows, classes) how often each class was decided on; another purpose has other draws."""
        return self.count(self.rows, purpose, copies)


ROWS = (np.ndarray, Decisions, Noise)  # what has an entry for each row


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Decisions on the rows of one set at one budget; what stands after `said` is of attacked sets."""

    classes: tuple[str, ...]
    labels: Array
    said: Decisions
    before: Decisions | None = None  # on the originals, by the same model
    original: Array | None = None  # which of the originals a row was made of
    targets: Array | None = None
    attacked: Array | None = None  # whether the attack worked on the row: its victim had the original right
    victim: Array | None = None  # what the victim says of the same pictures, where a metric needs it
    linf: Array | None = None  # distances to the original, where a metric needs them
    l2: Array | None = None
    noise: Noise | None = None  # of a model behind smoothing, where a metric needs it
    generated: bool = False  # made out of nothing: a picture has no class to lose, and whatever is its target can be reached
    recomputed: bool = False  # whether the victim was asked again, or its stored words taken

    def __getitem__(self, mask: Array) -> "Verdicts":
        found: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        rows: dict[str, Any] = {name: value[mask] for name, value in found.items() if isinstance(value, ROWS)}
        return replace(self, **rows)

    def known(self) -> "Verdicts":
        """The rows that have a label."""
        return self[self.labels >= 0]

    @property
    def predictions(self) -> Array:
        return self.said.predictions

    @property
    def clean(self) -> Array | None:
        """Decisions on the originals."""
        return None if self.before is None else self.before.predictions


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
    certificate: dict[str, Any] = field(default_factory=dict)  # what it holds under, where it is proved and not attacked


def rate(metric: str, k: int, n: int, **about: Any) -> Figure:
    """k of n with its interval; 0 of 0 is 0, and marked."""
    low, high = exact_interval(k, n)
    return Figure(metric, k / n if n else 0.0, n, k, low, high, about if n else {**about, "undefined": True})


Figures = Iterator[Figure]
