"""Histograms of pixels before and after the attack, on the same bins and a logarithmic scale.

An attack fills the gap between black and white: the share of pixels strictly inside (0.02, 0.98) grows. Pixels that were exactly
0 before, such as a digit's background, are counted a second time on their own. The interval of a share takes into account that
the pixels of one original are no independent ones.

Wang, Kunin and Pyron, figure 3.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.evaluation import budget_lines, captions
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.selected_rows import SelectedRows
from advcli.numerics.arrays import Array
from advcli.numerics.intervals import share_interval

INSIDE = (0.02, 0.98)
TITLES = {"originals": "before", "images": "after", "background": "after, of pixels\nthat were 0 before"}


@dataclass(frozen=True)
class Counted:
    """Some pixels of all rows: a histogram for each budget, and sums for each row."""

    counts: Array  # (budgets, bins)
    size: Array
    inside: Array
    total: Array
    squares: Array


@figure(needs=("originals",))
def pixels(
    rows: SelectedRows,
    *,
    bins: Annotated[int, Param("Number of bins.", low=1, high=10000)] = 50,
) -> Drawing:
    title = captions.heading("Pixels before and after the attack", rows)
    if not len(rows):
        return Drawing(captions.no_rows(title), [])
    low, high = rows.opened.header["range"]
    edges = np.linspace(min(0.0, low), max(1.0, high), bins + 1)
    found, table = _found(rows, edges), []
    whole = Figure(figsize=(captions.WIDE, 3.0))
    whole.suptitle(title)
    panels = whole.subplots(1, len(found), sharex=True, sharey=True)
    for axes, (of, counted) in zip(panels, found.items(), strict=True):
        summaries = [_summary(rows, of, counted, k) for k in range(len(counted.counts))]
        _panel(axes, of, counted, edges, summaries)
        table += budget_lines.bins({"of": of, "statistic": "bin"}, rows, counted.counts, edges)
        table += [line for lines in summaries for line in lines]
    panels[0].set_ylabel("pixels (log scale)")
    budget_lines.scale(panels[0], log=True)
    captions.legend(whole, rows)
    return Drawing(whole, table)


def _found(rows: SelectedRows, edges: Array) -> dict[str, Counted]:
    """One pass over the images."""
    (texts, numbers), n = rows.budgets, len(rows)
    found = {of: Counted(np.zeros((len(texts), len(edges) - 1), np.int64), *np.zeros((4, n))) for of in TITLES}
    for part, pictures in rows.batches("originals", "images"):
        before, after = (pictures[kind].reshape(len(pictures[kind]), -1) for kind in ("originals", "images"))
        everywhere, dark = np.ones_like(before, bool), before == 0
        for (_, counted), (values, mask) in zip(
            found.items(), ((before, everywhere), (after, everywhere), (after, dark)), strict=True
        ):
            _add(counted, part, numbers[part], values, mask, edges)
    return found


def _add(counted: Counted, part: slice, budget: Array, values: Array, mask: Array, edges: Array) -> None:
    """Count the masked values of some rows."""
    exact = values.astype(np.float64)
    exact[~mask] = 0
    counted.size[part] = mask.sum(1)
    counted.inside[part] = ((exact > INSIDE[0]) & (exact < INSIDE[1])).sum(1)
    counted.total[part] = exact.sum(1)
    counted.squares[part] = np.einsum("ij,ij->i", exact, exact)
    for k in np.unique(budget):
        counted.counts[k] += budget_lines.counted(values[budget == k][mask[budget == k]], edges)


def _summary(rows: SelectedRows, of: str, counted: Counted, budget: int) -> list[dict[str, Any]]:
    """The rows of the CSV for one budget: the share inside, mean and standard deviation."""
    texts, numbers = rows.budgets
    mine = numbers == budget
    n, k = int(counted.size[mine].sum()), int(counted.inside[mine].sum())
    named = {"of": of, "epsilon": texts[budget], "rows": rows.rows, "n": n}
    if not n:
        return [named | {"statistic": "inside", "from": INSIDE[0], "to": INSIDE[1], "count": 0}]
    mean = counted.total[mine].sum() / n
    std = np.sqrt(max(0.0, counted.squares[mine].sum() / n - mean**2))
    low, high = share_interval(counted.inside[mine], counted.size[mine], rows.column("original")[mine])
    share = {"statistic": "inside", "from": INSIDE[0], "to": INSIDE[1], "count": k, "value": k / n, "low": low, "high": high}
    return [named | share, named | {"statistic": "mean", "value": float(mean)}, named | {"statistic": "std", "value": float(std)}]


def _panel(axes: Axes, of: str, counted: Counted, edges: Array, summaries: list[list[dict[str, Any]]]) -> None:
    """The histogram, with the share inside, of a sweep for its first and its last budget."""
    shares = [line["value"] for lines in summaries for line in lines if line["statistic"] == "inside" and "value" in line]
    told = " to ".join(dict.fromkeys(f"{share:.1%}" for share in shares[:1] + shares[-1:]))
    told = f"strictly inside ({INSIDE[0]}, {INSIDE[1]}):\n{told}" if shares else "no such pixels"
    axes.set(title=TITLES[of], xlabel=f"pixel value\n{told}")
    budget_lines.draw(axes, counted.counts, edges)
