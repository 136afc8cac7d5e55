"""Accuracy and success against the budget, with exact 95 % intervals, of several models and sets in one picture.

A set with budgets has a point at each, beside the accuracy on its originals at 0. A set of a minimal-norm attack has a step at
the distance of each image: the accuracy at every budget at once. `--x l2` takes these distances in l2 whatever the attack
minimised, `--x filter` shows sets or models against the number of a filter that they differ in, such as sigma, budget by budget.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.errors import CommandError
from advcli.evaluation.captions import wrapped
from advcli.evaluation.curve_drawing import Series, draw, series
from advcli.evaluation.decisions import AttackedVerdicts
from advcli.evaluation.drawing import COLOURS, Drawing, shortened
from advcli.evaluation.exact_curve import Steps, accuracy_steps, success_steps
from advcli.evaluation.filter_axis import FilterAxis, axis_of
from advcli.evaluation.judged_lines import (
    Line,
    Look,
    about,
    amount,
    counted,
    lines,
    look,
    measured,
    nothing,
    numbers,
)
from advcli.evaluation.line_styles import DASHES, MARKS
from advcli.evaluation.rows import JudgedSet, Row
from advcli.evaluation.within import is_minimal
from advcli.numerics.arrays import Array

STEPS: dict[str, Callable[[AttackedVerdicts, Array], Steps]] = {"accuracy": accuracy_steps, "success": success_steps}
UNITS = {"linf": "largest change of a pixel", "l2": "Euclidean length", "l1": "sum of changes", "l0": "changed values"}
ALONE = "no budget"
Points = Sequence[tuple[float, JudgedSet]]  # places on an axis, and what was judged there


@dataclass(frozen=True, slots=True)
class Panel:
    """The lines of one metric over one axis, and the rows of the CSV under them."""

    metric: str
    axis: str
    drawn: list[Series]
    table: list[dict[str, Any]]


@figure(model="verdicts")
def curve(
    verdicts: Sequence[JudgedSet],
    *,
    show: Annotated[Literal["both", "accuracy", "success"], Param("What to show.")] = "both",
    x: Annotated[
        Literal["budget", "l2", "linf", "filter"],
        Param("Axis: budgets in the norm of each set, distances of minimal attacks in l2 or linf, or a number of a filter."),
    ] = "budget",
) -> Drawing:
    metrics = ("accuracy", "success") if show == "both" else (show,)
    if x == "filter":
        found = list(_by_filter(verdicts, metrics))
    else:
        found = list(_by_budget(lines(verdicts), metrics, None if x == "budget" else x))
    panels: dict[tuple[str, str], Panel] = {}
    for one in found:
        place = panels.setdefault((one.axis, one.metric), Panel(one.metric, one.axis, [], []))
        place.drawn.extend(one.drawn)
        place.table.extend(one.table)
    shown = [one for one in panels.values() if any(np.isfinite(line.value).any() for line in one.drawn)]
    table = [row for one in panels.values() for row in one.table]
    title = f"{' and '.join(metrics)} of {counted(verdicts)}".capitalize()
    more = "; dotted: without the filter" if x == "filter" else ""
    return Drawing(_drawn(title, more, shown, len(metrics)) if shown else nothing(title), table)


def _by_budget(all_lines: Sequence[Line], metrics: Sequence[str], norm: str | None) -> Iterator[Panel]:
    """Every line in the panel of its norm, or of one norm for all."""
    for place, line in enumerate(all_lines):
        first = line.seen[0]
        for metric in metrics:
            if is_minimal(first.subject):
                yield _exact(line, look(place), metric, norm or str(first.subject.header["norm"]))
            elif norm is not None and (first.budget is None or first.threat.norm != norm):
                made = f"budgets in {first.threat.norm}" if first.budget is not None else "no budget"
                raise CommandError(f"--x {norm}: {first.subject.name} has {made}, not distances; draw it alone with --x budget")
            elif first.budget is None:
                yield _at(line.name, look(place), metric, ALONE, [(float(place), first)], point=True)
            else:
                clean = line.originals if metric == "accuracy" and amount(first) > 0 else None
                points = [*([(0.0, clean)] if clean else []), *((amount(one), one) for one in line.seen)]
                yield _at(line.name, look(place), metric, str(first.threat.norm), points)


def _at(
    label: str, own: Look, metric: str, axis: str, points: Sequence[tuple[float, JudgedSet]], *, point: bool = False
) -> Panel:
    """The figures of one line at some places of an axis; a metric that does not apply has none."""
    found: list[tuple[float, JudgedSet, Row]] = []
    for at, seen in points:
        found += [(at, seen, row) for row in measured(seen, metric) if row.metric == metric]
    one = series(label, own, [at for at, _, _ in found], [row for _, _, row in found])
    drawn = [Series(one.label, own, one.at, one.value, one.low, one.high, one.draws, point=point)] if found else []
    return Panel(metric, axis, drawn, [about(seen) | {"metric": metric} | numbers(row) for _, seen, row in found])


def _exact(line: Line, own: Look, metric: str, norm: str) -> Panel:
    """The steps of a minimal-norm set; its distances do not depend on the draws of a random model."""
    (seen,) = line.seen
    (distance,) = seen.subject.distances((norm,))
    each = [STEPS[metric](one, distance) for one in seen.rounds if isinstance(one, AttackedVerdicts)]
    first, values = each[0], np.array([one.value for one in each])
    low, high = first.ends
    draws = (values.min(0), values.max(0)) if len(each) > 1 else None
    drawn = Series(line.name, own, first.at, first.value, low, high, draws, steps=True)
    alone, table = first.images == first.n, []
    for place, (at, k) in enumerate(zip(first.at.tolist(), first.k.tolist(), strict=True)):
        row = about(seen) | {"norm": norm, "epsilon": at, "metric": metric, "value": float(first.value[place])}
        row |= {"n": first.images, "k": k if alone else None, "low": float(low[place]), "high": float(high[place])}
        row |= {} if alone else {"rows": first.n, "hits": k}
        row |= {"draws": len(each), "draws_min": float(draws[0][place]), "draws_max": float(draws[1][place])} if draws else {}
        table.append(row)
    return Panel(metric, norm, [drawn], table)


def _by_filter(verdicts: Sequence[JudgedSet], metrics: Sequence[str]) -> Iterator[Panel]:
    """One line for each budget of each set and network, over the filter's number; dashed where there is no filter."""
    axis = axis_of(verdicts)
    groups: dict[tuple[str, ...], list[JudgedSet]] = {}
    for one in verdicts:
        groups.setdefault(axis.others(one), []).append(one)
    budgets = sorted({amount(seen[0]) for seen in groups.values()})
    colours = mpl.colormaps[COLOURS](np.linspace(0, 0.9, len(budgets)))
    kinds = list(dict.fromkeys(key[:-1] for key in groups))
    for key, seen in sorted(groups.items(), key=lambda one: (kinds.index(one[0][:-1]), amount(one[1][0]))):
        kind, filtered = kinds.index(key[:-1]), [one for one in seen if axis.place(one) is not None]
        colour = tuple(colours[budgets.index(amount(seen[0]))])
        label = " ".join(
            filter(None, (seen[0].budget or seen[0].subject.name, f"({_source(seen[0])})" if len(kinds) > 1 else ""))
        )
        own = Look(colour, MARKS[kind % len(MARKS)], DASHES[kind % len(DASHES)])
        for metric in metrics:
            points = sorted(((axis.place(one) or 0.0, one) for one in filtered), key=lambda one: one[0])
            found = _at(label, own, metric, f"{axis.filter} {axis.parameter}", points)
            for row, (at, _) in zip(found.table, points, strict=True):
                row[axis.parameter] = at
            yield found
            for one in (one for one in seen if axis.place(one) is None):
                yield _unfiltered(one, own, metric, axis)


def _unfiltered(seen: JudgedSet, own: Look, metric: str, axis: FilterAxis) -> Panel:
    """A dotted line across the panel for what no filter has changed."""
    found = _at("", Look(own.colour, own.marker, ":"), metric, f"{axis.filter} {axis.parameter}", [(math.nan, seen)])
    return Panel(metric, found.axis, found.drawn, [row | {axis.parameter: "none"} for row in found.table])


def _source(seen: JudgedSet) -> str:
    """The set and the model of a line over the parameter of a filter."""
    return shortened(f"{seen.subject.name}, {seen.model.path.stem}", 26)


def _drawn(title: str, more: str, panels: Sequence[Panel], across: int) -> Figure:
    across = min(across, len(panels))
    down = -(-len(panels) // across)
    labels = list(dict.fromkeys(one.label for panel in panels for one in panel.drawn if one.label))
    most = max(1, min(2 * across, int(3.5 * across / (0.65 + 0.06 * max(map(len, labels), default=0)))))
    whole = Figure(figsize=(3.5 * across, 2.4 * down + 0.55 + 0.16 * -(-len(labels) // most)))
    spread = any(one.draws for panel in panels for one in panel.drawn)
    note = f"bands: exact 95 % intervals{'; bars: least and largest of the draws of a random model' * spread}{more}"
    whole.suptitle(wrapped(f"{title}\n{note}", 56 * across), fontsize=9)
    grid = list(whole.subplots(down, across, squeeze=False, sharey=True).flat)
    for axes, panel in zip(grid, panels, strict=False):
        _panel(axes, panel)
    for axes in grid[len(panels) :]:
        axes.axis("off")
    handles = {text: line for axes in grid for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    if labels:
        whole.legend([handles[text] for text in labels], labels, loc="outside lower center", ncols=min(most, len(labels)),
                     frameon=False, handlelength=3, title="budget" if more else None)  # fmt: skip
    return whole


def _panel(axes: Axes, panel: Panel) -> None:
    """The lines of a panel; a line without a place goes across."""
    ends = [float(one.at[-1]) for one in panel.drawn if len(one.at) and np.isfinite(one.at).all()]
    for one in panel.drawn:
        if np.isnan(one.at).any():
            axes.axhline(float(one.value[0]), color=one.look.colour, linestyle=":", linewidth=1)
        else:
            draw(axes, one, until=max(ends))
    unit = f" ({UNITS[panel.axis]})" if panel.axis in UNITS else ""
    words = "budget" if panel.axis in UNITS or panel.axis == "raw" else ""
    axes.set(ylim=(0, 1), ylabel=panel.metric, xlabel=f"{panel.axis} {words}{unit}".strip())
    axes.margins(x=0.02)
    if panel.axis == ALONE:
        axes.set_xticks([])
