"""Confusion matrices: what images of each class are classified as, on the originals and at every budget.

Colours are shares of the class, on one scale; numbers are counts of rows. Classes without images are grey.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.errors import CommandError
from advcli.evaluation.drawing import COLOURS, Drawing, shortened
from advcli.evaluation.judged_lines import about, amount, counted, lines, measured, nothing, numbers
from advcli.evaluation.rows import JudgedSet, Row
from advcli.numerics.arrays import Array
from advcli.numerics.quantities import fraction

MOST_NAMED, MOST_COUNTED = 24, 12  # classes with a name beside the matrix, and with counts in it
LARGE = 4  # panels that are large enough for counts


@dataclass(frozen=True, slots=True)
class Matrix:
    """Counts (labels, predictions), where -1 of the predictions is a rejection."""

    title: str
    labels: list[str]
    predictions: list[str]
    counts: Array


@figure(model="verdicts")
def confusion(
    verdicts: Sequence[JudgedSet],
    *,
    at: Annotated[str | None, Param("Draw only this budget, beside the originals. [default: all]", form="X")] = None,
) -> Drawing:
    drawn, table = [], []
    for line in lines(verdicts):
        clean = line.originals if amount(line.seen[0]) > 0 else None
        for seen in [*([clean] if clean else []), *(one for one in line.seen if _wanted(one, at))]:
            rows = measured(seen, "confusion")
            table += [about(seen) | {key: row.about[key] for key in ("label", "prediction")} | numbers(row) for row in rows]
            told = "originals" if seen is clean else f"{seen.threat.norm or ''} {seen.budget or 'attacked'}".strip()
            drawn.append(_matrix(f"{line.name}\n{told}", rows, rejects=seen.rounds[0].said.score is not None))
    if at is not None and not any(one.budget is not None and _wanted(one, at) for one in verdicts):
        raise CommandError(f"--at {at}: no set has this budget")
    title = f"Classes (down) and what the model says (across): {counted(verdicts)}"
    return Drawing(_drawn(title, drawn) if any(one.counts.sum() for one in drawn) else nothing(title), table)


def _matrix(title: str, rows: Sequence[Row], *, rejects: bool) -> Matrix:
    """The counts of a report; rejections come last."""
    labels = list(dict.fromkeys(row.about["label"] for row in rows))
    said = [row.about["prediction"] for row in rows[: len(rows) // max(1, len(labels))]]
    counts = np.array([row.about.get("hits", row.k) for row in rows]).reshape(len(labels), len(said))
    if rejects:
        said, counts = [*said[1:], said[0]], np.roll(counts, -1, axis=1)
    return Matrix(f"{title}, {counts.sum():,} rows", labels, said, counts)


def _wanted(seen: JudgedSet, at: str | None) -> bool:
    """True for every budget, or for one of them."""
    if at is None or seen.budget is None:
        return True
    try:
        return fraction(at) == fraction(seen.budget)
    except ValueError as error:
        raise CommandError(f"--at: {error}") from None


def _drawn(title: str, panels: Sequence[Matrix]) -> Figure:
    large = len(panels) <= LARGE
    across = min(len(panels), 2 if large else 4)
    down = -(-len(panels) // across)
    side = 3.4 if large else 1.75
    whole = Figure(figsize=(max(3.6, side * across + 0.5), (side + 0.1) * down + 0.4))
    whole.suptitle(title, fontsize=9)
    grid = list(whole.subplots(down, across, squeeze=False).flat)
    shown = [_panel(axes, one, large=large) for axes, one in zip(grid, panels, strict=False)]
    for axes in grid[len(panels) :]:
        axes.axis("off")
    whole.colorbar(shown[0], ax=grid, label="share of the class", shrink=min(1.0, 0.9 if down == 1 else 0.6), aspect=25)
    return whole


def _panel(axes: Axes, matrix: Matrix, *, large: bool) -> Any:
    total = matrix.counts.sum(1, keepdims=True)
    shares = np.where(total > 0, matrix.counts / np.maximum(total, 1), np.nan)
    colours = mpl.colormaps[COLOURS].with_extremes(bad="0.85")
    shown = axes.imshow(np.ma.masked_invalid(shares), cmap=colours, vmin=0, vmax=1)
    axes.set_title(matrix.title, fontsize=8 if large else 6)
    size, longest = (7, 12) if large else (4.5, 8)
    for axis, names in ((axes.yaxis, matrix.labels), (axes.xaxis, matrix.predictions)):
        if len(names) <= MOST_NAMED:
            axis.set_ticks(range(len(names)), [shortened(" ".join(one.split()), longest) for one in names], fontsize=size)
        else:
            axis.set_tick_params(labelsize=size)
    axes.tick_params(
        axis="x", rotation=90 if len(matrix.predictions) <= MOST_NAMED and max(map(len, matrix.predictions)) > 2 else 0
    )
    if large:
        axes.set(xlabel="prediction", ylabel="class")
    if large and max(matrix.counts.shape) <= MOST_COUNTED:
        for (y, x), count in np.ndenumerate(matrix.counts):
            if count:
                axes.text(
                    x, y, f"{count:,}", ha="center", va="center", fontsize=5.5, color="black" if shares[y, x] > 0.6 else "white"
                )
    return shown
