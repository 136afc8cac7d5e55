"""Histograms of the values of images, originals and perturbations, one line for each budget.

Exact zeros of a perturbation (unchanged pixels) are counted apart, since they would dwarf all other bins.
"""

from typing import Annotated

import numpy as np
from matplotlib.figure import Figure

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.evaluation import budget_lines, captions
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.selected_rows import SelectedRows
from advcli.numerics.arrays import Array


@figure()
def values(
    rows: SelectedRows,
    *,
    bins: Annotated[int, Param("Number of bins.", low=1, high=10000)] = 50,
) -> Drawing:
    title = captions.heading("Values of pixels", rows)
    if not len(rows):
        return Drawing(captions.no_rows(title), [])
    whole, table, found = Figure(figsize=(captions.WIDE, 2.9)), [], _counts(rows, bins)
    whole.suptitle(title)
    log = any(budget_lines.dwarfed(counts) for counts, _, _ in found.values())
    panels = whole.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, (kind, (counts, zeros, edges)) in zip(panels, found.items(), strict=True):
        share = f"\n(zeros left out: {zeros.sum() / max(1, zeros.sum() + counts.sum()):.1%})" if zeros.any() else ""
        axes.set(title=f"{kind}{share}", xlabel="difference of pixel values" if kind == "perturbations" else "pixel value")
        budget_lines.draw(axes, counts, edges)
        table += budget_lines.bins({"of": kind}, rows, counts, edges)
        if kind == "perturbations":
            table += budget_lines.bins({"of": kind}, rows, zeros[:, None], np.zeros(2))
    panels[0].set_ylabel("values (log scale)" if log else "values")
    budget_lines.scale(panels[0], log=log)
    captions.legend(whole, rows)
    return Drawing(whole, table)


def _counts(rows: SelectedRows, bins: int) -> dict[str, tuple[Array, Array, Array]]:
    """Of every kind the (budgets, bins) counts, the number of exact zeros of every budget that they leave out, and the edges."""
    texts, numbers = rows.budgets
    found = {
        kind: (np.zeros((len(texts), bins), np.int64), np.zeros(len(texts), np.int64), _edges(rows, kind, bins))
        for kind in rows.kinds
    }
    for part, pictures in rows.batches(*rows.kinds):
        for k in np.unique(numbers[part]):
            for kind, (counts, zeros, edges) in found.items():
                seen = pictures[kind][numbers[part] == k]
                if kind == "perturbations":
                    zeros[k] += seen.size - np.count_nonzero(seen)
                    seen = seen[seen != 0]
                counts[k] += budget_lines.counted(seen, edges)
    return found


def _edges(rows: SelectedRows, kind: str, bins: int) -> Array:
    """Bins from 0 to 1, or as far as the values go; of perturbations as far below zero as above."""
    low, high = rows.measured.extremes(kind)
    if kind == "perturbations":
        low, high = budget_lines.span(-max(abs(low), abs(high)), max(abs(low), abs(high)))
        return np.linspace(low, high, bins + 1)
    return np.linspace(min(0.0, low), max(1.0, high), bins + 1)
