"""Histograms as a picture and as the numbers under it."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from advcli.numerics.arrays import Array


def counts(values: Array, bins: int, span: tuple[float, float] | None = None) -> tuple[Array, Array]:
    """(counts, edges); all values fall into some bin."""
    low, high = span or (float(values.min(initial=np.inf)), float(values.max(initial=-np.inf)))
    if not np.isfinite([low, high]).all():
        low, high = 0.0, 1.0
    if low == high:
        low, high = low - 0.5, high + 0.5
    found, edges = np.histogram(values, bins=bins, range=(low, high))
    return found, edges


def draw(axes: Axes, count: Array, edges: Array, title: str, unit: str) -> None:
    """One panel; a logarithmic scale where one bin would hide all others."""
    axes.stairs(count, edges, fill=True, color="#33658a")
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(unit, fontsize=8)
    axes.tick_params(labelsize=7)
    filled = count[count > 0]
    if len(filled) and filled.max() > 50 * np.median(filled):
        axes.set_yscale("log")
    axes.set_ylabel("count", fontsize=8)


def rows(name: str, count: Array, edges: Array) -> list[dict[str, Any]]:
    """The lines of the CSV."""
    return [
        {"of": name, "from": float(a), "to": float(b), "count": int(c)}
        for a, b, c in zip(edges[:-1], edges[1:], count, strict=True)
    ]
