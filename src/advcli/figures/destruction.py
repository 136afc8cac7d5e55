"""Destruction rates by attack and transform, with exact 95 % intervals, and the share of originals that a transform leaves right.

Of the adversarial images, the share that a transform makes correct again. The sets are filtered ones, made by
`advcli defend --method NAME FILE`; the numbers are those of the metric `destruction`, and the CSV has destruction-kept too.
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
from advcli.evaluation.drawing import Drawing, shortened
from advcli.evaluation.filter_axis import filter_of
from advcli.evaluation.judged_lines import about, amount, counted, look, measured, nothing, numbers, short_names
from advcli.evaluation.rows import JudgedSet, Row

MOST = 24  # attacks and budgets down a panel


@dataclass(frozen=True, slots=True)
class Cell:
    """One filtered set at one budget, through one model."""

    seen: JudgedSet
    rows: dict[str, Row]

    @property
    def source(self) -> tuple[str, str, float]:
        """What was filtered: the model that judges it, the attacked set, the budget."""
        made = self.seen.subject.header["made"]
        return str(self.seen.model.path), str(made["parents"][0]["digest"]), amount(self.seen)


@figure(model="verdicts", needs=("filter",))
def destruction(
    verdicts: Sequence[JudgedSet],
    *,
    top: Annotated[str, Param("Correct means that the label is among the k largest logits.", form="K,K,...")] = "1",
) -> Drawing:
    cells = [Cell(one, {row.metric: row for row in rows}) for one in verdicts if (rows := measured(one, "destruction", top=top))]
    if not cells:
        raise CommandError(
            "--figure destruction: none of these is a filtered set; make one with: advcli defend --method NAME FILE"
        )
    names = _transforms(cells)
    table = [about(cell.seen) | {"transform": names[cell.seen.subject.name], "metric": metric} | numbers(row)
             for cell in cells for metric, row in cell.rows.items()]  # fmt: skip
    title = f"What transforms do to adversarial images: {counted([one.seen for one in cells])}"
    return Drawing(
        _drawn(title, cells, names) if any(row.n for one in cells for row in one.rows.values()) else nothing(title), table
    )


def _transforms(cells: Sequence[Cell]) -> dict[str, str]:
    """Names of transforms by filtered set: the filter, and the numbers in which filters of its name differ."""
    filters = {cell.seen.subject.name: filter_of(cell.seen) or ("", {}) for cell in cells}
    found = {}
    for name, (method, own) in filters.items():
        alike = [given for one, given in filters.values() if one == method]
        differing = [key for key in own if len({repr(given.get(key)) for given in alike}) > 1]
        found[name] = shortened(" ".join([method, *(f"{key}={own[key]}" for key in differing)]), 36)
    return found


def _labels(cells: Sequence[Cell], sources: Sequence[tuple[str, str, float]]) -> list[str]:
    """Captions of what was attacked: attack, budget, and the model if there are several."""
    models = short_names(list(dict.fromkeys(one[0] for one in sources)), 16)
    digests: dict[str, list[str]] = {}
    labels = []
    for source in sources:
        threat = next(one.seen for one in cells if one.source == source).threat
        same = digests.setdefault(str(threat.attack), [])
        if source[1] not in same:
            same.append(source[1])
        number = f" {same.index(source[1]) + 1}" if same.index(source[1]) else ""
        budget = f" {threat.epsilon}" if np.isfinite(source[2]) else ""
        labels.append(f"{threat.attack}{number}{budget}" + f"\n{models[source[0]]}" * (len(models) > 1))
    return labels


def _drawn(title: str, cells: Sequence[Cell], names: dict[str, str]) -> Figure:
    every = list(dict.fromkeys(one.source for one in cells))
    places = np.unique(np.linspace(0, len(every) - 1, min(MOST, len(every))).round().astype(int))
    sources = [every[k] for k in places]
    transforms = list(dict.fromkeys(names.values()))
    metrics = [one for one in cells[0].rows if not one.startswith("destruction-kept")]
    tall = 0.16 * len(sources) * max(1.5, min(4, len(transforms)) * 0.8)
    whole = Figure(figsize=(7.0, (0.75 + tall) * (len(metrics) // 2) + 0.45 + 0.16 * -(-len(transforms) // 3)))
    some = "" if len(sources) == len(every) else f"; {len(sources)} of {len(every)} attacks and budgets"
    whole.suptitle(f"{title}\nbars: exact 95 % intervals{some}", fontsize=9)
    grid = whole.subplots(len(metrics) // 2, 2, squeeze=False, sharey=True)
    for axes, metric in zip(grid.flat, metrics, strict=True):
        _panel(axes, metric, cells, (sources, transforms, names))
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(sources)), _labels(cells, sources), fontsize=7)
        axes.set_ylim(len(sources) - 0.5, -0.5)
    handles = {text: line for axes in grid.flat for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    whole.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(3, len(handles)), frameon=False)
    return whole


def _panel(axes: Axes, metric: str, cells: Sequence[Cell], order: tuple[Sequence[Any], Sequence[str], dict[str, str]]) -> None:
    """A point with its interval for each attack and transform; 0 of 0 is left out."""
    sources, transforms, names = order
    step = 0.7 / len(transforms)
    for cell in cells:
        row = cell.rows[metric]
        if cell.source not in sources or row.undefined or row.low is None or row.high is None:
            continue
        kind = transforms.index(names[cell.seen.subject.name])
        own, height = look(kind), sources.index(cell.source) + (kind - (len(transforms) - 1) / 2) * step
        axes.hlines(height, row.low, row.high, color=own.colour, linewidth=0.9)
        axes.plot([row.value], [height], own.marker, color=own.colour, markersize=3.5, label=transforms[kind], clip_on=False)
    base, _, end = metric.partition("-top-")
    words = {"destruction": "destruction rate", "kept": "originals that stay right"}[base]
    axes.set(xlim=(0, 1), xlabel=f"{words}{f' (top {end})' if end else ''}")
    axes.grid(axis="y", color="0.92", linewidth=0.5)
    axes.set_axisbelow(True)
