"""Histograms of the norms of perturbations, one line for each budget."""

from typing import Annotated

import numpy as np
from matplotlib.figure import Figure

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.evaluation import budget_lines, captions
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.selected_rows import NORMS, SelectedRows, available
from advcli.numerics.arrays import Array

UNITS = {"l0": "values changed", "l1": "sum of |value|", "l2": "Euclidean length", "linf": "largest |value|"}


@figure()
def norms(
    rows: SelectedRows,
    *,
    bins: Annotated[int, Param("Number of bins.", low=1, high=10000)] = 50,
) -> Drawing:
    of = "perturbations" if "perturbations" in available(rows.opened) else "images"
    title = captions.heading(f"Norms of {of}", rows)
    if not len(rows):
        return Drawing(captions.no_rows(title), [])
    whole, table = Figure(figsize=(captions.WIDE, 4.4)), []
    whole.suptitle(title)
    for axes, norm in zip(whole.subplots(2, 2).flat, NORMS, strict=True):
        counts, edges = _counts(rows, norm, bins)
        unit = UNITS[norm] if of == "perturbations" else UNITS[norm].replace("changed", "other than 0")
        log = budget_lines.dwarfed(counts)
        axes.set(title=f"{norm} norm", xlabel=unit, ylabel="rows (log scale)" if log else "rows")
        budget_lines.draw(axes, counts, edges)
        budget_lines.scale(axes, log=log)
        table += budget_lines.bins({"of": of, "norm": norm}, rows, counts, edges)
    captions.legend(whole, rows)
    return Drawing(whole, table)


def _counts(rows: SelectedRows, norm: str, bins: int) -> tuple[Array, Array]:
    """(budgets, bins) counts and the edges, from the smallest to the largest norm."""
    (texts, numbers), values = rows.budgets, rows.measured.norms[norm]
    low, high = float(values.min()), float(values.max())
    edges = _edges_of_counts(low, high, bins) if norm == "l0" else np.linspace(*budget_lines.span(low, high), bins + 1)
    return np.array([budget_lines.counted(values[numbers == k], edges) for k in range(len(texts))]), edges


def _edges_of_counts(low: float, high: float, bins: int) -> Array:
    """Bins of whole numbers, each with equally many: other bins would give a comb."""
    each = -(-int(high - low + 1) // bins)
    return np.arange(low, high + each + 0.5, each) - 0.5
