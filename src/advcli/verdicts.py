"""What a model decided on the images of one set: all that a metric may look at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from advcli.arrays import Array
from advcli.interval import exact_interval


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


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Decisions on the rows of one set at one budget; `rank` is how many classes score above the label's."""

    classes: tuple[str, ...]
    labels: Array
    predictions: Array
    rank: Array
    confidence: Array | None = None  # the probability of the decision
    targets: Array | None = None
    clean: Array | None = None  # decisions on the originals, by the same model
    noise: Noise | None = None  # of a model behind smoothing

    def __getitem__(self, mask: Array) -> "Verdicts":
        def some(values: Array | None) -> Array | None:
            return None if values is None else values[mask]

        return Verdicts(
            self.classes,
            self.labels[mask],
            self.predictions[mask],
            self.rank[mask],
            some(self.confidence),
            some(self.targets),
            some(self.clean),
            self.noise and self.noise[mask],
        )

    def known(self) -> "Verdicts":
        """The rows that have a label."""
        return self[self.labels >= 0]


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
