"""Shares of the kinds of adversarial outcomes, budget by budget, with exact 95 % intervals: true, refocused, conatural, benign.

Shares are of all rows, by the metric `categories`, whose options these are. Rows that are none of the four are in the CSV only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.errors import CommandError
from advcli.evaluation.curve_drawing import draw, series
from advcli.evaluation.decisions import AttackedVerdicts
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.judged_lines import Line, about, amount, counted, lines, look, measured, nothing, numbers
from advcli.evaluation.rows import JudgedSet, Row

SHOWN = ("true", "refocused", "conatural", "benign")


@dataclass(frozen=True, slots=True)
class Panel:
    """One model on one set: the four shares at every budget."""

    line: Line
    shares: dict[str, list[Row]]


@figure(model="verdicts", needs=("rank",))
def categories(
    verdicts: Sequence[JudgedSet],
    *,
    tau: Annotated[float, Param("Confidence of a benign row, at least.", low=0, high=1)] = 0.5,
    refocused: Annotated[
        int | None, Param("Classes that count as seen in an image. [default: 5 of 100 or more, 3 of 10, 2 of 3, 1 of 2]", low=1)
    ] = None,
    superclass: Annotated[
        str | None,
        Param("Groups of classes, as of the metric categories. [default: by the names of the classes]", form="NAME|FILE"),
    ] = None,
) -> Drawing:
    attacked = [one for one in verdicts if isinstance(one.rounds[0], AttackedVerdicts)]
    if not attacked:
        raise CommandError("--figure categories: none of these sets was made by an attack")
    panels, table = [], []
    for line in lines(attacked):
        shares: dict[str, list[Row]] = {}
        for seen in line.seen:
            rows = measured(seen, "categories", tau=tau, refocused=refocused, superclass=superclass)
            rows = [row for row in rows if row.metric == "category"]
            for row in rows:
                shares.setdefault(str(row.about["category"]), []).append(row)
            table += [about(seen) | {"category": row.about["category"]} | numbers(row) for row in rows]
        panels.append(Panel(line, {name: shares[name] for name in SHOWN if name in shares}))
    drawn = [one for one in panels if any(row.n for rows in one.shares.values() for row in rows)]
    title = f"Kinds of adversarial outcomes: shares of all rows of {counted(attacked)}"
    return Drawing(_drawn(title, drawn) if drawn else nothing(title), table)


def _drawn(title: str, panels: Sequence[Panel]) -> Figure:
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    whole = Figure(figsize=(4.6 if across == 1 else 7.0, 2.3 * down + 0.7))
    without = any("conatural" not in one.shares for one in panels)
    note = "bands: exact 95 % intervals" + "; no groups of classes, so none is conatural" * without
    whole.suptitle(f"{title}\n{note}", fontsize=8)
    grid = list(whole.subplots(down, across, squeeze=False, sharey=True).flat)
    for axes, panel in zip(grid, panels, strict=False):
        _panel(axes, panel)
    for axes in grid[len(panels) :]:
        axes.axis("off")
    handles = {text: line for axes in grid for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    named = [name for name in SHOWN if name in handles]
    whole.legend([handles[name] for name in named], named, loc="outside lower center", ncols=len(named), frameon=False)
    return whole


def _panel(axes: Axes, panel: Panel) -> None:
    """A line for each kind over the budgets, which stand at equal distances if a set has none."""
    seen = panel.line.seen
    at = [amount(one) for one in seen]
    places = at if np.isfinite(at).all() else [float(k) for k in range(len(at))]
    for name, rows in panel.shares.items():
        draw(axes, series(name, look(SHOWN.index(name)), places, rows))
    if places is not at:
        axes.set_xticks(places, ["any distance"] * len(places))
    norm = seen[0].threat.norm
    words: dict[str, Any] = {"xlabel": f"budget ({norm})"} if norm and places is at else {}
    axes.set(title=panel.line.name, ylim=(0, 1), ylabel="share of rows", **words)
