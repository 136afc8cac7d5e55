"""Attack success against the calls of the model that were spent on an image, with exact intervals.

A point (c, k / n) says: of the n attacked images, k were won with at most c calls each. Calls are queries and gradients
together. A set states them for each image, over all of its budgets and targets; an image with several targets counts as a
success if one of them was reached. Rows that were never attacked do not count, whatever --rows says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from advcli.catalog.registry import figure
from advcli.evaluation.drawing import COLOURS, Drawing
from advcli.evaluation.line_styles import DASHES, MARKS, OKABE_ITO
from advcli.evaluation.outcomes import FAILURE, SUCCESS, attack_of
from advcli.evaluation.picture_grid import plain
from advcli.evaluation.selected_rows import NONE, SelectedRows, coded
from advcli.numerics.arrays import Array
from advcli.numerics.intervals import exact_interval

MOST_NAMED = 8  # lines in a legend
MOST_BANDS = 4  # intervals that can be told apart
WIDE = 30  # times the smallest number of calls: a logarithmic scale
ACROSS, PANEL = 3, 2.2  # panels side by side, and the height of one in inches


@dataclass(frozen=True)
class Curve:
    """Success of one set at one budget: k of n images with at most so many calls; the last point is that of all calls."""

    rows: SelectedRows
    budget: str
    n: int
    calls: Array
    k: Array

    @property
    def intervals(self) -> Array:
        """(points, 2) the ends of the exact intervals."""
        return np.array([exact_interval(int(k), self.n) for k in self.k]).reshape(-1, 2)


@figure(sets="all", needs=("queries", "gradients", "success", "original"))
def queries(sets: list[SelectedRows]) -> Drawing:
    each = [_curves(rows) for rows in sets]
    table = [line for curves in each for curve in curves for line in _lines(curve)]
    return Drawing(_drawn(sets, each), table)


def _curves(rows: SelectedRows) -> list[Curve]:
    """The curve of every budget."""
    opened, places = rows.opened, rows.considered
    original = opened.column("original")
    spent = np.bincount(original, opened.column("queries") + opened.column("gradients"))  # an image's first row is charged
    if rows.outcome is None:
        return []
    texts, codes = coded(opened, "epsilon", places)
    attacked = np.isin(rows.outcome, (FAILURE, SUCCESS))
    found = []
    for code in np.unique(codes[attacked]):
        mine = attacked & (codes == code)
        images = np.unique(original[places[mine]])
        won = np.unique(original[places[mine & (rows.outcome == SUCCESS)]])
        calls, count = np.unique(spent[won].astype(np.int64), return_counts=True)
        most = int(spent[images].max())
        if not len(calls) or calls[-1] < most:
            calls, count = np.append(calls, most), np.append(count, 0)
        found.append(Curve(rows, texts[code], len(images), calls, count.cumsum()))
    return found


def _lines(curve: Curve) -> list[dict[str, Any]]:
    """The rows of the CSV, one for each step."""
    return [
        {"set": curve.rows.title, "epsilon": curve.budget, "calls": int(calls), "n": curve.n, "k": int(k)}
        | {"success": float(k / curve.n), "low": float(low), "high": float(high)}
        for calls, k, (low, high) in zip(curve.calls, curve.k, curve.intervals, strict=True)
    ]


def _drawn(sets: Sequence[SelectedRows], each: list[list[Curve]]) -> Figure:
    """One panel for all sets of one budget; with several budgets one for each set, on the same axes."""
    swept = any(len(curves) > 1 for curves in each)
    groups = [curves for curves in each if curves] if swept else [[one for curves in each for one in curves]]
    across = min(ACROSS, max(1, len(groups)))
    down = max(1, -(-len(groups) // across))
    whole = Figure(figsize=(7.0 if len(groups) > 1 else 4.5, PANEL * down + 0.6))
    whole.suptitle(_title(each), fontsize=9)
    grid = list(whole.subplots(down, across, squeeze=False, sharex=True, sharey=True).flat)
    for axes in grid[len(groups) :]:
        axes.axis("off")
    for axes, curves in zip(grid, groups, strict=False):
        _panel(axes, curves, swept=swept)
    _scale(grid[0], [one for curves in each for one in curves])
    whole.supxlabel(_unit(sets), fontsize=8)
    whole.supylabel("attack success among attacked images", fontsize=8)
    return whole


def _title(each: list[list[Curve]]) -> str:
    counts = sorted({one.n for curves in each for one in curves})
    if not counts:
        return "Success against calls: no rows (attacked)"
    span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    shared = any(len(curves) > 1 for curves in each)
    return f"Success against calls of the model: {span} attacked images" + (
        "\ncalls of an image: of all its budgets" if shared else ""
    )


def _unit(sets: Sequence[SelectedRows]) -> str:
    """The words under the horizontal axis."""
    asked, differentiated = (any(rows.opened.column(name).any() for rows in sets) for name in ("queries", "gradients"))
    kinds = "queries and gradients" if asked and differentiated else "gradients" if differentiated else "queries"
    return f"{kinds} spent on an image"


def _panel(axes: Axes, curves: list[Curve], *, swept: bool) -> None:
    """The curves of some sets, or of the budgets of one set."""
    ordered = mpl.colormaps[COLOURS](np.linspace(0, 0.85, len(curves)))
    for place, curve in enumerate(curves):
        colour = ordered[place] if swept else OKABE_ITO[place % len(OKABE_ITO)]
        style = DASHES[place % len(DASHES)]
        x, y = np.append(0, curve.calls), np.append(0, curve.k) / curve.n
        marker: dict[str, Any] = {"marker": MARKS[place % len(MARKS)], "markersize": 4, "markevery": [len(x) - 1]}  # at the end
        axes.step(x, y, where="post", color=colour, linestyle=style, linewidth=1.2, label=_label(curve, swept=swept), **marker)
        if len(curves) <= MOST_BANDS:
            low, high = np.vstack([exact_interval(0, curve.n), curve.intervals]).T
            axes.fill_between(x, low, high, step="post", color=colour, alpha=0.18, linewidth=0)
    if swept and curves:
        axes.set_title(plain(curves[0].rows.title, 30), fontsize=8)
    if curves:
        handles, labels = axes.get_legend_handles_labels()
        some = np.unique(np.linspace(0, len(labels) - 1, MOST_NAMED).round().astype(int)) if swept else range(len(labels))
        made = attack_of(curves[0].rows.opened.header)
        among = "" if len(some) == len(labels) else f"\nsome of {len(labels)}"
        title = f"budget ({made['norm']}){among}" if swept and made else None
        axes.legend([handles[k] for k in some], [labels[k] for k in some], title=title, fontsize=6.5, title_fontsize=6.5,
                    frameon=False, loc="best")  # fmt: skip


def _label(curve: Curve, *, swept: bool) -> str:
    budget, name = "" if curve.budget == NONE else curve.budget, plain(curve.rows.title, 30)
    text = budget or "any distance" if swept else f"{name}, {budget}" if budget else name
    return f" {text}" if text.startswith("_") else text  # Matplotlib leaves out labels that begin so


def _scale(axes: Axes, curves: list[Curve]) -> None:
    """Shares from 0 to 1; a logarithmic scale of calls if they differ by far."""
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    calls = np.concatenate([one.calls for one in curves]) if curves else np.zeros(0)
    if len(calls) and calls.min() >= 1 and calls.max() > WIDE * calls.min():
        axes.set(xscale="log", xlim=(max(0.8, calls.min() / 2), calls.max() * 1.1))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif len(calls):
        axes.set_xlim(0, max(1, calls.max()) * 1.03)
