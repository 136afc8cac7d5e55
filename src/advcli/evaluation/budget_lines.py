"""Histograms with one line for each budget, so that the budgets of a sweep are never mixed."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from advcli.evaluation.captions import colours
from advcli.evaluation.selected_rows import SelectedRows
from advcli.numerics.arrays import Array

HIDDEN = 50  # times the median: a bin so high hides the others where the scale is linear
ALL = "0.6"  # the grey of what all budgets share


def span(low: float, high: float) -> tuple[float, float]:
    """The ends of a histogram that holds these values; a single value lies in the middle."""
    if not np.isfinite([low, high]).all():
        return 0.0, 1.0
    if low == high:
        return (0.0, 2 * low) if low > 0 else (low - 0.5, high + 0.5)
    return low, high


def counted(values: Array, edges: Array) -> Array:
    """The number of values in bins of equal width, the last one with its upper edge."""
    found: Array = np.histogram(values, len(edges) - 1, (np.float64(edges[0]), np.float64(edges[-1])))[0]
    return found


def bins(named: dict[str, Any], rows: SelectedRows, counts: Array, edges: Array) -> list[dict[str, Any]]:
    """The rows of the CSV: what is counted, the budget, and the bin; `counts` is (budgets, bins)."""
    ends = list(zip(map(float, edges[:-1]), map(float, edges[1:]), strict=True))
    return [
        named | {"epsilon": text, "rows": rows.rows, "from": low, "to": high, "count": int(count)}
        for text, line in zip(rows.budgets[0], counts, strict=True)
        for (low, high), count in zip(ends, line, strict=True)
    ]


def dwarfed(counts: Array) -> bool:
    """True if one bin would hide the others on a linear scale."""
    filled = counts[counts > 0]
    return bool(len(filled)) and bool(filled.max() > HIDDEN * np.median(filled))


def draw(axes: Axes, counts: Array, edges: Array) -> None:
    """One line for each budget; filled if there is only one, and grey if all budgets have the same counts."""
    if len(counts) > 1 and (counts == counts[0]).all():
        axes.stairs(counts[0], edges, fill=True, color=ALL)
        axes.set_title(f"{axes.get_title()}\n(the same for all budgets)")
        return
    for count, colour in zip(counts, colours(len(counts)), strict=True):
        axes.stairs(count, edges, fill=len(counts) == 1, color=colour, linewidth=1)


def scale(axes: Axes, *, log: bool) -> None:
    """The scale of counts; formulas are text in this style, so that a logarithmic one needs a formatter of its own."""
    if not log:
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
        return
    axes.set(yscale="log")
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
