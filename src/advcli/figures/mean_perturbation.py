"""The mean perturbation of each pair of classes beside the difference of the classes' mean originals.

If an attack writes the target over the source, the mean perturbation from s to t looks like "t less s": it correlates best with
the mean original of t less that of s, and not with that of another class k less s. The correlations are Pearson's over all
values of an image, also for the mean of the perturbations' signs. A perturbation without a pattern has a correlation near 0.

The target of an untargeted row is the class that the model then says. The CSV has every class k for each pair, or where that is
more than 20,000 lines the target and the best other class. Of a sweep the largest budget is drawn.

Wang, Kunin and Pyron, figure 4.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.evaluation import pictures
from advcli.evaluation.captions import WIDE, heading, no_rows, on_one_line
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.pairs import Pairs, class_means, means, pairs_of
from advcli.evaluation.selected_rows import SelectedRows
from advcli.numerics.arrays import Array

TITLE = "Mean perturbation of pairs of classes"
MOST_LINES = 20_000
FEWEST, LETTER = 4, 0.065  # columns of the picture; inches
OWN, OTHER, SIGN = "#d55e00", "0.65", "#0072b2"


@dataclass(frozen=True)
class Pair:
    """One pair of classes under one budget: its mean perturbation, and the correlations with every class less the source."""

    budget: int
    source: int
    target: int
    count: int
    against: Array  # the classes
    correlation: Array
    of_signs: Array
    mean: Array | None = None
    wanted: Array | None = None

    def own(self, values: Array) -> float:
        """The one of these correlations that is with the target less the source; NaN if it is unknown."""
        found = values[self.against == self.target]
        return float(found[0]) if len(found) else float("nan")

    @property
    def best(self) -> int | None:
        """The class with the largest correlation."""
        known = np.isfinite(self.correlation)
        return int(self.against[known][np.argmax(self.correlation[known])]) if known.any() else None


@figure(needs=("target", "prediction"))
def mean_perturbation(
    rows: SelectedRows,
    *,
    drawn: Annotated[int, Param("Number of pairs of classes that are drawn, those with the most rows.", low=1, high=20)] = 9,
) -> Drawing:
    if not len(rows):
        return Drawing(no_rows(heading(TITLE, rows)), [])
    pairs = pairs_of(rows)
    wide = len(pairs.sources)
    cell = np.where(pairs.unmoved, -1, (rows.budgets[1] * wide + pairs.source) * wide + pairs.target)
    chosen = _chosen(cell, wide, drawn)
    originals = class_means(rows.opened) if "originals" in rows.opened else None
    found = []
    for number, count, both in means(rows, "perturbations", cell, _with_signs):
        place = (number // wide**2, number // wide % wide, number % wide)
        found.append(_pair(place, count, both, originals, keep=number in chosen))
    shown = [one for one in found if one.mean is not None]
    of_budget = sum(one.budget == shown[0].budget for one in found) if shown else 0
    picture = _drawn(rows, pairs, shown, of_budget) if shown else no_rows(heading(TITLE, rows), "all rows kept their class")
    return Drawing(picture, _lines(rows, pairs, found))


def _with_signs(perturbations: Array) -> Array:
    """(B, 2, C, H, W) perturbations and their signs."""
    exact = perturbations.astype(np.float64)
    return np.stack([exact, np.sign(exact)], axis=1)


def _chosen(cell: Array, wide: int, drawn: int) -> set[int]:
    """The cells that are drawn: of the last budget those with the most rows."""
    present, count = np.unique(cell[cell >= 0], return_counts=True)
    last = present // wide**2 == present.max(initial=0) // wide**2
    most = np.argsort(-count[last], kind="stable")[:drawn]
    return set(present[last][most].tolist())


def _pair(place: tuple[int, int, int], count: int, both: Array, originals: tuple[Array, Array] | None, *, keep: bool) -> Pair:
    """The correlations of one pair."""
    budget, source, target = place
    mean, signs = both
    against, differences = np.zeros(0, np.int64), np.zeros((0, mean.size))
    if originals is not None and source < len(originals[1]) and originals[1][source]:
        against = np.setdiff1d(np.flatnonzero(originals[1]), [source])
        differences = (originals[0][against] - originals[0][source]).reshape(len(against), -1)
    pair = Pair(budget, source, target, count, against, _correlations(mean, differences), _correlations(signs, differences))
    if not keep:
        return pair
    wanted = differences[against == target].reshape(-1, *mean.shape)
    return replace(pair, mean=mean, wanted=wanted[0] if len(wanted) else None)


def _correlations(image: Array, others: Array) -> Array:
    """Pearson's correlation of an image with each other one; NaN for an image of one value."""
    one, many = image.ravel() - image.mean(), others - others.mean(1, keepdims=True)
    size = np.linalg.norm(one) * np.linalg.norm(many, axis=1)
    found: Array = np.divide(many @ one, size, out=np.full(len(others), np.nan), where=size > 1e-12)
    return found


def _lines(rows: SelectedRows, pairs: Pairs, found: list[Pair]) -> list[dict[str, Any]]:
    """The rows of the CSV."""
    all_of_them = sum(len(one.against) for one in found) <= MOST_LINES
    return [line for one in found for line in _lines_of(rows, pairs, one, all_of_them=all_of_them)]


def _lines_of(rows: SelectedRows, pairs: Pairs, pair: Pair, *, all_of_them: bool) -> list[dict[str, Any]]:
    """The lines of one pair, its target first."""
    named = {"epsilon": rows.budgets[0][pair.budget], **pairs.named(pair.source, pair.target), "rows": rows.rows, "n": pair.count}
    order = np.argsort(-np.nan_to_num(pair.correlation, nan=-2), kind="stable")
    order = order[np.argsort(pair.against[order] != pair.target, kind="stable")]
    lines = [
        named | {"against": pairs.targets[pair.against[k]], "correlation": _known(pair.correlation[k]),
                 "sign_correlation": _known(pair.of_signs[k]), "best": int(pair.against[k] == pair.best)}
        for k in (order if all_of_them else order[:2])
    ]  # fmt: skip
    return lines or [named | {"against": None, "correlation": None, "sign_correlation": None, "best": None}]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _drawn(rows: SelectedRows, pairs: Pairs, shown: list[Pair], found: int) -> Figure:
    """Two strips of images above the correlations, one column for each pair."""
    known = any(one.wanted is not None for one in shown)
    channels, high, wide = rows.opened.shape
    across = max(len(shown), FEWEST)
    side = (WIDE - 1.9) / across
    scales = [pictures.largest([one for one in each if one is not None])
              for each in ([one.mean for one in shown], [one.wanted for one in shown])]  # fmt: skip
    title, tall = _title(rows, shown, found) + _scales(scales[: 1 + known], channels), side * high / wide
    whole = Figure(figsize=(WIDE, 0.18 * title.count("\n") + 0.9 + (1 + known) * (tall + 0.1) + 2.3 * known))
    whole.suptitle(title)
    axes = whole.subplots(3 if known else 1, 1, squeeze=False, height_ratios=[tall, tall, 2.0] if known else [tall])[:, 0]
    _strip(axes[0], [one.mean for one in shown], "mean\nperturbation", scales[0])
    if known:
        _strip(axes[1], [one.wanted for one in shown], "target\nless source", scales[1])
        _correlation_panel(axes[2], shown)
    most = int(side / LETTER)
    names = [
        f"{on_one_line(pairs.sources[one.source], most)}\n→ {on_one_line(pairs.targets[one.target], most - 2)}" for one in shown
    ]
    axes[0].set_xticks(np.arange(len(shown)) + 0.5, names, fontsize=7)
    axes[0].xaxis.tick_top()
    axes[0].tick_params(length=0)
    for one in axes:
        one.set_xlim(0, across)
    return whole


def _scales(scales: list[float], channels: int) -> str:
    """The scales of images with three channels, which have no colour bar."""
    if channels != 3:
        return ""
    limits = " and ".join(f"±{one:.3g}" for one in scales)
    return f"\neach channel from dark (less) over half bright (0) to bright (more), {limits}"


def _title(rows: SelectedRows, shown: list[Pair], found: int) -> str:
    """What is shown, and how many of how many pairs."""
    title, texts = heading(TITLE, rows), rows.budgets[0]
    least, most = min(one.count for one in shown), max(one.count for one in shown)
    title += f"\n{least:,} to {most:,} rows a pair" if least < most else f"\n{least:,} rows a pair"
    if len(texts) > 1:
        title += f", budget {texts[shown[0].budget]} (the largest)"
    return title + (f"; {len(shown)} of {found} pairs are drawn, all are in the CSV" if found > len(shown) else "")


def _strip(axes: Axes, images: list[Array | None], name: str, scale: float) -> None:
    """Images side by side, on one scale."""
    for place, image in enumerate(images):
        if image is not None:
            axes.imshow(pictures.coloured(image, scale), extent=(place + 0.03, place + 0.97, 0.03, 0.97), interpolation="nearest")
    shape = next(image.shape for image in images if image is not None)
    axes.set(ylim=(0, 1), aspect=shape[1] / shape[2], xticks=[], yticks=[])
    axes.set_ylabel(name, rotation=0, ha="right", va="center")
    axes.spines[:].set_visible(False)
    pictures.bar(axes, "difference", scale, shape[0])


def _correlation_panel(axes: Axes, shown: list[Pair]) -> None:
    """The correlation with the target less the source, and with every other class less the source."""
    others = [(place + 0.5, value) for place, one in enumerate(shown) for value in one.correlation[one.against != one.target]]
    if others:
        axes.plot(*zip(*others, strict=True), "_", color=OTHER, markersize=9, label="another class")
    middle = np.arange(len(shown)) + 0.5
    axes.plot(middle, [one.own(one.correlation) for one in shown], "D", color=OWN, markersize=5, label="the target")
    signs = [one.own(one.of_signs) for one in shown]
    axes.plot(middle, signs, "^", color=SIGN, markersize=5, fillstyle="none", label="the target, of the signs")
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xticks=[])
    axes.set_ylabel("correlation\nwith class\nless source", rotation=0, ha="right", va="center")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=3, frameon=False)
