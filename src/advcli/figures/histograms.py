"""Histograms of norms and of pixel values, one line for each budget.

Exact zeros of a perturbation (unchanged pixels) are counted apart, since they would dwarf all other bins.
"""

from typing import Annotated, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.evaluation.drawing import COLOURS, ONE, Drawing
from advcli.evaluation.outcomes import attack_of
from advcli.evaluation.selected_rows import NORMS, SelectedRows
from advcli.numerics.arrays import Array

MOST_NAMED = 14  # budgets in the legend
HIDDEN = 50  # times the median: a bin so high hides the others where the scale is linear
UNITS = {"l0": "values changed", "l1": "sum of |value|", "l2": "Euclidean length", "linf": "largest |value|"}


@figure()
def histograms(
    rows: SelectedRows,
    *,
    bins: Annotated[int, Param("Number of bins.", low=1, high=10000)] = 50,
) -> Drawing:
    panels = [(f"{norm} norm", UNITS[norm], *_of_norms(rows, norm, bins)) for norm in NORMS]
    table = [line for name, _, counts, edges in panels for line in _lines(f"{name}s", rows, counts, edges)]
    for kind in rows.kinds:
        counts, edges, zeros = _of_values(rows, kind, bins)
        share = f"\n(zeros left out: {zeros.sum() / max(1, zeros.sum() + counts.sum()):.1%})" if zeros.any() else ""
        panels.append((f"values of {kind}{share}", "pixel value", counts, edges))
        table += _lines(f"values of {kind}", rows, counts, edges)
        if kind == "perturbations":
            table += _lines(f"values of {kind}", rows, zeros[:, None], np.zeros(2))
    return Drawing(_drawn(rows, panels), table)


def _of_norms(rows: SelectedRows, norm: str, bins: int) -> tuple[Array, Array]:
    """(budgets, bins) counts and the edges, from the smallest to the largest."""
    (texts, numbers), values = rows.budgets, rows.measured.norms[norm]
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    edges = _edges_of_counts(low, high, bins) if norm == "l0" else _edges(low, high, bins)
    each = [np.histogram(values[numbers == k], edges)[0] for k in range(len(texts))]
    return np.array(each, np.int64).reshape(-1, len(edges) - 1), edges


def _of_values(rows: SelectedRows, kind: str, bins: int) -> tuple[Array, Array, Array]:
    """(budgets, bins) counts, the edges, and the number of exact zeros of every budget, which are left out."""
    texts, numbers = rows.budgets
    signed, (low, high) = kind == "perturbations", rows.measured.extremes(kind)
    most = max(abs(low), abs(high))
    edges = _edges(-most, most, bins) if signed else np.linspace(min(0.0, low), max(1.0, high), bins + 1)
    counts, zeros = np.zeros((len(texts), bins), np.int64), np.zeros(len(texts), np.int64)
    for part, pictures in rows.batches(kind):
        for k in np.unique(numbers[part]):
            values = pictures[kind][numbers[part] == k]
            counts[k] += np.histogram(values[values != 0] if signed else values, edges)[0]
            zeros[k] += np.count_nonzero(values == 0) if signed else 0
    return counts, edges, zeros


def _edges(low: float, high: float, bins: int) -> Array:
    """The edges of the bins; a single value lies in the middle of them."""
    if not np.isfinite([low, high]).all():
        low, high = 0.0, 1.0
    if low == high:
        low, high = (0.0, 2 * low) if low > 0 else (low - 0.5, high + 0.5)
    return np.linspace(low, high, bins + 1)


def _edges_of_counts(low: float, high: float, bins: int) -> Array:
    """Bins of whole numbers, each with equally many: other bins would give a comb."""
    if not np.isfinite([low, high]).all():
        low, high = 0.0, 1.0
    each = -(-int(high - low + 1) // bins)
    return np.arange(low, high + each + 0.5, each) - 0.5


def _lines(name: str, rows: SelectedRows, counts: Array, edges: Array) -> list[dict[str, Any]]:
    """The rows of the CSV."""
    bins = list(zip(map(float, edges[:-1]), map(float, edges[1:]), strict=True))
    return [
        {"of": name, "epsilon": text, "rows": rows.rows, "from": low, "to": high, "count": int(count)}
        for text, line in zip(rows.budgets[0], counts, strict=True)
        for (low, high), count in zip(bins, line, strict=True)
    ]


def _drawn(rows: SelectedRows, panels: list[tuple[str, str, Array, Array]]) -> Figure:
    texts, _ = rows.budgets
    colours = mpl.colormaps[COLOURS](np.linspace(0, 0.9, len(texts))) if len(texts) > 1 else [ONE]
    down = -(-len(panels) // 2)
    whole = Figure(figsize=(8, 2.2 * down + 0.4))
    whole.suptitle(f"{rows.title}: {len(rows)} rows ({rows.rows})")
    grid = list(whole.subplots(down, 2, squeeze=False).flat)
    for axes in grid[len(panels) :]:
        axes.axis("off")
    for axes, (name, unit, counts, edges) in zip(grid, panels, strict=False):
        axes.set(title=name, xlabel=unit, ylabel="rows" if name.endswith("norm") else "values")
        _panel(axes, counts, edges, colours)
    if len(texts) > 1:
        some = np.unique(np.linspace(0, len(texts) - 1, MOST_NAMED).round().astype(int))
        handles = [mpl.lines.Line2D([], [], color=colours[k], label=texts[k]) for k in some]
        made, among = attack_of(rows.opened.header), "" if len(some) == len(texts) else f"\nsome of {len(texts)}"
        title = (f"budget ({made['norm']})" if made else "budget") + among
        whole.legend(handles=handles, title=title, loc="outside right upper", frameon=False)
    return whole


def _panel(axes: Axes, counts: Array, edges: Array, colours: Any) -> None:
    """One line for each budget, filled if there is only one; a logarithmic scale if one bin would dwarf the others."""
    for count, colour in zip(counts, colours, strict=False):
        axes.stairs(count, edges, fill=len(counts) == 1, color=colour, linewidth=1)
    filled = counts[counts > 0]
    if len(filled) and filled.max() > HIDDEN * np.median(filled):
        axes.set(yscale="log", ylabel=f"{axes.get_ylabel()} (log scale)")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
