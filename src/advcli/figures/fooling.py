"""Pictures that an attack made from nothing: the best one of every class, and its confidence by generation.

The best picture of a class is the success with the highest confidence that the file keeps (of fool-evolve, after its last
generation); of an attack that keeps none it is the first success.
"""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from advcli.catalog.registry import figure
from advcli.errors import CommandError
from advcli.evaluation.drawing import ONE, Drawing
from advcli.evaluation.line_styles import DASHES, OKABE_ITO
from advcli.evaluation.outcomes import attack_of
from advcli.evaluation.picture_grid import Grid, Line, Tile, empty, page, plain, side_of
from advcli.evaluation.selected_rows import SelectedRows
from advcli.files.header import from_nothing
from advcli.numerics.arrays import Array

FEW = 5  # classes in a line, if there are at most two such lines
ACROSS = 10
MOST = 200  # classes on a page
PLOT = 2.2  # inches under the pictures


@figure(needs=("target", "success"))
def fooling(rows: SelectedRows) -> Drawing:
    if not from_nothing(rows.opened.header):
        made = "fool-evolve and fool-gradient make such sets"
        raise CommandError(f"--figure fooling: {rows.opened.path} was not made from nothing; {made}")
    target, won = rows.column("target"), rows.column("success")
    curves = rows.column("confidence").astype(np.float64) if "confidence" in rows.opened else None
    if not len(target):
        return Drawing(empty(f"{plain(rows.title)}: fooling pictures", f"no rows ({rows.rows})"), [])
    last = np.zeros(len(target)) if curves is None or not curves.shape[1] else curves[:, -1]
    order = np.lexsort((np.arange(len(target)), -last, -won.astype(int), target))
    best = order[np.unique(target[order], return_index=True)[1]]  # positions among the rows, one for each class
    names = rows.names("target", rows.places[best])
    climbs = None if curves is None else np.stack([curves[target == target[k]].max(0) for k in best])
    table = _table(rows, best, names, climbs)
    return Drawing(_drawn(rows, best, names, climbs), table)


def _table(rows: SelectedRows, best: Array, names: list[str], climbs: Array | None) -> list[dict[str, Any]]:
    """The rows of the CSV: every class at every generation, or once if the file keeps no confidence."""
    found = []
    for k, (place, name) in enumerate(zip(best, names, strict=True)):
        one = {"class": name, "row": int(rows.places[place]), "success": int(rows.column("success")[place])}
        if climbs is None:
            found.append(one | {"generation": None, "best_confidence": None})
        else:
            found += [one | {"generation": g + 1, "best_confidence": float(value)} for g, value in enumerate(climbs[k])]
    return found


def _drawn(rows: SelectedRows, best: Array, names: list[str], climbs: Array | None) -> Figure:
    shown = min(MOST, len(best))
    pictures = np.concatenate([made["images"] for _, made in rows.batches("images", of=rows.places[best[:shown]])])
    won = rows.column("success")[best]
    across = min(FEW if shown <= 2 * FEW else ACROSS, shown)
    tiles = [Tile(made, _words(names[k], climbs, k), framed=won[k] == 1) for k, made in enumerate(pictures)]
    lines = [Line(tiles[first : first + across]) for first in range(0, shown, across)]
    title = f"{plain(rows.title)}: the best picture of {shown} of {len(rows.opened.classes)} classes, of {len(rows)} rows"
    goal = _goal(rows)
    notes = ["framed: the model says this class" + ("" if goal is None else f"; dotted: the attack stops at {100 * goal:g}%")]
    grid = Grid(lines, side_of(1, across, labels=False))
    if climbs is None or not climbs.shape[1]:
        return page(grid, title, [*notes, "the file keeps no confidences"])[0]
    whole, below = page(grid, title, notes, below=PLOT)
    width = whole.get_figwidth()
    axes = whole.add_axes((0.65 / width, 0.42 / PLOT * below, 1 - 0.85 / width, 0.8 * below - 0.2 / whole.get_figheight()))
    _climb(axes, names, climbs, goal)
    return whole


def _words(name: str, climbs: Array | None, k: int) -> tuple[str, ...]:
    """The class, and the confidence in it, rounded down."""
    if climbs is None or not climbs.shape[1]:
        return (name,)
    return f"{name}:", f"{math.floor(climbs[k, -1] * 10000 + 1e-6) / 100:.2f}%"


def _goal(rows: SelectedRows) -> float | None:
    """The confidence at which the attack was done with a class."""
    made = attack_of(rows.opened.header)
    found = made and made["made"]["parameters"].get("confidence")
    return float(found) if isinstance(found, int | float) else None


def _climb(axes: Axes, names: list[str], climbs: Array, goal: float | None) -> None:
    """A line for each class if they can be told apart, otherwise all in grey under their median."""
    generations = np.arange(1, climbs.shape[1] + 1)
    few = len(names) <= len(OKABE_ITO)
    for k, (name, line) in enumerate(zip(names, climbs, strict=True)):
        colour, style = (OKABE_ITO[k], DASHES[k % len(DASHES)]) if few else ("0.6", "-")
        label = plain(name, 14) if few else None if k else f"each of {len(names)} classes"
        axes.plot(generations, line, color=colour, linestyle=style, linewidth=1 if few else 0.6, label=label)
    if not few:
        axes.plot(generations, np.median(climbs, 0), color=ONE, linewidth=2, label="their median")
    if goal is not None:
        axes.axhline(goal, color="black", linestyle=":", linewidth=0.8)
    axes.set(xlabel="generation", ylabel="best confidence in the class", ylim=(0, 1.03), xlim=(0, generations[-1] + 1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.legend(fontsize=6.5, framealpha=0.85, edgecolor="none", loc="lower right", ncols=2 if few and len(names) > 2 else 1)
