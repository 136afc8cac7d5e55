"""The curve of accuracy by budget: a picture, and the numbers under it."""

import csv
import io
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from advcli.evaluation.curve_drawing import draw, series
from advcli.evaluation.drawing import ONE, Drawing, drawn
from advcli.evaluation.judged_lines import Look
from advcli.evaluation.rows import Row
from advcli.numerics.quantities import fraction

PROVED = "#d1495b"
Points = list[tuple[str, Row]]


def curve_files(points: Points, norm: str, clean: Row | None, proofs: list[Row]) -> dict[str, bytes]:
    """curve.png and curve.csv."""
    pictures, rows = drawn(partial(_drawing, points, norm, clean, proofs), "curve")
    text = io.StringIO()
    writer = csv.DictWriter(text, ["figure", "epsilon", "value", "k", "n", "low", "high", "sets"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return {"curve.png": pictures["png"], "curve.csv": text.getvalue().encode()}


def _drawing(points: Points, norm: str, clean: Row | None, proofs: list[Row]) -> Drawing:
    if clean is not None:
        points = [("0", clean), *points]
    at = [float(fraction(eps)) for eps, _ in points]
    figure = Figure(figsize=(4.2, 2.8))
    axes = figure.add_subplot()
    draw(axes, series("attacked: at most", Look(ONE, "o", "-"), at, [row for _, row in points]), interval="95 % interval")
    below = [(float(fraction(row.threat.epsilon or "0")), row.value) for row in proofs]
    if below and clean is not None:
        axes.plot(*zip((0.0, clean.value), *below, strict=True), "s--", color=PROVED, label="proved: at least")
    axes.set(ylim=(0, 1), xlabel=f"budget ({norm})", ylabel="accuracy", title="Accuracy by budget")
    axes.legend(frameon=False)
    table = [{"figure": "attacked", "epsilon": eps, **_numbers(row), "sets": row.set} for eps, row in points]
    table += [{"figure": "proved", "epsilon": row.threat.epsilon, **_numbers(row), "sets": ""} for row in proofs]
    return Drawing(figure, table)


def _numbers(row: Row) -> dict[str, Any]:
    return {"value": row.value, "k": row.k, "n": row.n, "low": row.low, "high": row.high}
