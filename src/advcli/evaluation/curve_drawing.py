"""Lines of rates with their intervals, as every curve of accuracy or success is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from advcli.evaluation.judged_lines import Look
from advcli.evaluation.rows import Row
from advcli.numerics.arrays import Array


@dataclass(frozen=True, slots=True)
class Series:
    """Rates at some places: values, ends of intervals, and the least and largest value over the draws of a random model."""

    label: str
    look: Look
    at: Array
    value: Array
    low: Array
    high: Array
    draws: tuple[Array, Array] | None = None
    steps: bool = False  # each value holds until the next place
    point: bool = False  # one value alone, which belongs to no budget


def series(label: str, look: Look, at: Sequence[float], rows: Sequence[Row]) -> Series:
    """The line through some figures; 0 of 0 leaves a gap, and a figure without an interval has none."""
    value = np.array([np.nan if row.undefined else row.value for row in rows])
    low, high = (np.array([value[k] if (end := getattr(row, name)) is None else end for k, row in enumerate(rows)], float)
                 for name in ("low", "high"))  # fmt: skip
    draws = None
    if any(row.spread for row in rows):
        least, most = ([getattr(row.spread, end) if row.spread else row.value for row in rows] for end in ("min", "max"))
        draws = np.array(least), np.array(most)
    return Series(label, look, np.array(at, float), value, low, high, draws)


def draw(axes: Axes, one: Series, *, interval: str | None = None, until: float | None = None) -> None:
    """A line, its band of intervals, and bars from the least to the largest draw; steps go on `until` some place."""
    at, (value, low, high) = one.at, (one.value, one.low, one.high)
    if one.steps and until is not None and len(at):
        at = np.append(at, max(until, at[-1]))
        value, low, high = (np.append(each, each[-1]) for each in (value, low, high))
    how: dict[str, Any] = {"color": one.look.colour, "label": one.label, "zorder": 3, "clip_on": False}
    if one.steps:
        axes.plot(at, value, one.look.style, drawstyle="steps-post", linewidth=1.2, **how)
    else:
        axes.plot(at, value, one.look.style, marker=one.look.marker, markersize=3.5, linewidth=1.2, **how)
    axes.fill_between(
        at, low, high, step="post" if one.steps else None, color=one.look.colour, alpha=0.15, linewidth=0, label=interval
    )
    if one.point or len(at) == 1:
        axes.vlines(at, low, high, color=one.look.colour, linewidth=1, alpha=0.6)
    if one.draws is not None and one.steps:
        for end in one.draws:
            axes.plot(one.at, end, drawstyle="steps-post", color=one.look.colour, linewidth=0.5)
    elif one.draws is not None:
        least, most = one.draws
        axes.errorbar(at, value, [np.maximum(value - least, 0), np.maximum(most - value, 0)], fmt="none",
                      ecolor=one.look.colour, elinewidth=0.8, capsize=2)  # fmt: skip
