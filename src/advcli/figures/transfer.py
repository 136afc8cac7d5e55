"""Transfer of adversarial images between models: a heat map of source sets and target models.

Of the images that a target has right, the share that the set has it get wrong and accept. A frame marks a set that was made
against this very model; below, the mean over the sets that were not. linf and l2 are mean distances: they differ by source.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from advcli.catalog.registry import figure
from advcli.errors import CommandError
from advcli.evaluation.decisions import AttackedVerdicts
from advcli.evaluation.drawing import COLOURS, Drawing
from advcli.evaluation.judged_lines import about, amount, measured, nothing, numbers, short_names
from advcli.evaluation.rows import JudgedSet, Row

OWN = ("adaptive", "white-box")
FRAME = "#d55e00"
Source = tuple[str, str]  # a set and a budget


@dataclass(frozen=True, slots=True)
class Cell:
    """One set against one model."""

    seen: JudgedSet
    row: Row

    @property
    def own(self) -> bool:
        """True if the set was made against this model."""
        return self.seen.threat.knowledge in OWN

    @property
    def source(self) -> Source:
        return self.seen.subject.name, self.seen.budget or ""

    @property
    def model(self) -> str:
        return str(self.seen.model.path)


@figure(model="verdicts", needs=("distance",))
def transfer(verdicts: Sequence[JudgedSet]) -> Drawing:
    attacked = sorted((one for one in verdicts if isinstance(one.rounds[0], AttackedVerdicts)), key=amount)
    if not attacked:
        raise CommandError("--figure transfer: none of these sets was made by an attack")
    order = list(dict.fromkeys(one.subject.name for one in verdicts))
    attacked.sort(key=lambda one: order.index(one.subject.name))
    cells = [Cell(one, measured(one, "transfer")[0]) for one in attacked]
    table = [_line(one) for one in cells]
    means = _means(cells)
    table += [{"model": model, "set": "mean of the others", "epsilon": budget or "all", "value": value, "sets": count}
              for (model, budget), (value, count) in means.items()]  # fmt: skip
    title = "Transfer: share of a model's correct images that a set breaks"
    return Drawing(_drawn(title, cells, means) if any(one.row.n for one in cells) else nothing(title), table)


def _line(cell: Cell) -> dict[str, Any]:
    """A row of the CSV."""
    sizes = {name: cell.row.about[name] for name in ("linf", "l2")}
    return about(cell.seen) | {"knowledge": cell.seen.threat.knowledge, "own": cell.own} | sizes | numbers(cell.row)


def _means(cells: Sequence[Cell]) -> dict[tuple[str, str], tuple[float, int]]:
    """(model, budget) -> the mean of the rates of other models' sets, and their number, where several sets share a budget.

    Sets of a single budget each are taken together, whatever their budgets are.
    """
    alone = len({one.source[0] for one in cells}) == len({one.source for one in cells})
    values: dict[tuple[str, str], list[float]] = {}
    for one in cells:
        if not one.own and not one.row.undefined:
            values.setdefault((one.model, "" if alone else one.source[1]), []).append(one.row.value)
    sources = {one.source for one in cells}
    sets = Counter("" if alone else budget for _, budget in sources)
    return {key: (float(np.mean(each)), len(each)) for key, each in values.items() if sets[key[1]] > 1}


def _drawn(title: str, cells: Sequence[Cell], means: dict[tuple[str, str], tuple[float, int]]) -> Figure:
    sources, models = (list(dict.fromkeys(getattr(one, key) for one in cells)) for key in ("source", "model"))
    sets, names = short_names(list(dict.fromkeys(name for name, _ in sources)), 22), short_names(models, 16)
    below = list(dict.fromkeys(budget for _, budget in means))
    shares = np.full((len(sources) + len(below), len(models)), np.nan)
    labels = [""] * len(sources)
    for one in cells:
        place = sources.index(one.source)
        shares[place, models.index(one.model)] = np.nan if one.row.undefined else one.row.value
        size = f"linf {one.row.about['linf']:.3g}, l2 {one.row.about['l2']:.3g}"
        labels[place] = f"{sets[one.source[0]]} {one.source[1]}\n{size}".strip()
    labels += [f"mean of the others {budget}".strip() for budget in below]
    for (model, budget), (value, _) in means.items():
        shares[len(sources) + below.index(budget), models.index(model)] = value
    whole = Figure(figsize=(min(7.0, max(3.3, 2.3 + 0.62 * len(models))), 1.5 + 0.34 * len(labels)))
    whole.suptitle(f"{title}\nframe: made against this model", fontsize=8)
    axes = whole.subplots()
    colours = mpl.colormaps[COLOURS].with_extremes(bad="0.85")
    shown = axes.imshow(np.ma.masked_invalid(shares), cmap=colours, vmin=0, vmax=1, aspect="auto")
    axes.set_yticks(range(len(labels)), labels, fontsize=6.5)
    upright = len(models) < 4
    axes.set_xticks(range(len(models)), [names[one] for one in models], rotation=0 if upright else 45,
                    ha="center" if upright else "right", rotation_mode=None if upright else "anchor")  # fmt: skip
    axes.set(xlabel="target model", ylabel="source set")
    if below:
        axes.axhline(len(sources) - 0.5, color="white", linewidth=3)
    _mark(axes, shares, [(sources.index(one.source), models.index(one.model)) for one in cells if one.own], len(models))
    whole.colorbar(shown, ax=axes, label="success", aspect=25)
    return whole


def _mark(axes: Axes, shares: Any, own: Sequence[tuple[int, int]], across: int) -> None:
    """The shares in per cent, and a frame around a model's own sets."""
    for (y, x), share in np.ndenumerate(shares):
        text = "–" if np.isnan(share) else f"{100 * share:.0f} %"
        dark = not np.isnan(share) and share < 0.6
        axes.text(x, y, text, ha="center", va="center", fontsize=7 if across <= 8 else 5, color="white" if dark else "black")
    for y, x in own:
        axes.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, fill=False, edgecolor=FRAME, linewidth=2))
