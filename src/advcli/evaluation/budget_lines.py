"""Histograms with one line for each budget, so that the budgets of a sweep are never mixed; and a figure's heading."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from advcli.evaluation.drawing import COLOURS, ONE, shortened
from advcli.evaluation.outcomes import attack_of
from advcli.evaluation.selected_rows import SelectedRows
from advcli.numerics.arrays import Array

WIDE = 7.0  # inches: two columns of a paper
MOST_NAMED = 14  # budgets in the legend
HIDDEN = 50  # times the median: a bin so high hides the others where the scale is linear
ALL = "0.6"  # the grey of what all budgets share
LONGEST = 50  # characters of a file's name


def heading(what: str, rows: SelectedRows) -> str:
    """The title of a figure: what is shown, of how many rows, and which."""
    return f"{what}\n{on_one_line(rows.title, LONGEST)}: {len(rows):,} rows ({rows.rows})"


def on_one_line(name: str, most: int = 14) -> str:
    """A name that fits into a caption, without line breaks."""
    return shortened(" ".join(name.split()), most)


def no_rows(title: str, words: str = "no rows") -> Figure:
    """The picture of a selection that has nothing to show."""
    empty = Figure(figsize=(WIDE, 1.5))
    empty.suptitle(title)
    axes = empty.subplots()
    axes.axis("off")
    axes.text(0.5, 0.5, words, ha="center", va="center", color="0.4")
    return empty


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


def colours(count: int) -> list[Any]:
    """One colour for each budget, told apart by lightness."""
    return list(mpl.colormaps[COLOURS](np.linspace(0, 0.9, count))) if count > 1 else [ONE]


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


def legend(whole: Figure, rows: SelectedRows) -> None:
    """The budgets by their colours, where there are several; of many only some are named."""
    texts, _ = rows.budgets
    if len(texts) < 2:
        return
    some = np.unique(np.linspace(0, len(texts) - 1, MOST_NAMED).round().astype(int))
    shades = colours(len(texts))
    handles = [mpl.lines.Line2D([], [], color=shades[k], label=texts[k]) for k in some]
    made, among = attack_of(rows.opened.header), "" if len(some) == len(texts) else f"\nsome of {len(texts)}"
    title = (f"budget ({made['norm']})" if made else "budget") + among
    whole.legend(handles=handles, title=title, loc="outside right upper", frameon=False)
