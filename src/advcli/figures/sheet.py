"""A sheet of images with their classes, every class in proportion to its size."""

from typing import Annotated, Any

import numpy as np
from matplotlib.figure import Figure

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.outcomes import WORDS
from advcli.evaluation.picture_grid import Grid, Line, Tile, arrow, empty, is_decided, page, plain, side_of
from advcli.evaluation.selected_rows import COLUMN, NONE, SelectedRows
from advcli.images.dataset import stratified
from advcli.numerics.arrays import Array

ACROSS = 10
OUTSIDE = "pixels outside [0, 1] are drawn as black and white"


@figure()
def sheet(
    rows: SelectedRows,
    *,
    count: Annotated[int, Param("Number of images on the sheet.", low=0, high=400)] = 50,
) -> Drawing:
    kind, label = rows.kinds[0], rows.column("labels")
    chosen = np.flatnonzero(stratified(label, min(count, len(rows)), "sheet"))
    chosen = chosen[np.argsort(label[chosen], kind="stable")]
    pictures = np.zeros((len(chosen), *rows.opened.shape), np.float32)
    for part, found in rows.batches(kind, of=rows.places[chosen]):
        pictures[part] = found[kind]
    table = _table(rows, chosen)
    return Drawing(_drawn(pictures, table, rows, kind), table)


def _table(rows: SelectedRows, chosen: Array) -> list[dict[str, Any]]:
    """The rows of the CSV, one for each image."""
    places, index, (budgets, number) = rows.places[chosen], rows.column("index")[chosen], rows.budgets
    names = {word: rows.names(word, places) for word, column in COLUMN.items() if column in rows.opened}
    outcome = None if rows.outcome is None else rows.outcome[rows.kept][chosen]
    return [
        {"row": int(places[k]), "index": int(index[k]), "epsilon": budgets[number[chosen[k]]]}
        | {word: texts[k] for word, texts in names.items()}
        | ({} if outcome is None else {"outcome": WORDS[outcome[k]]})
        for k in range(len(chosen))
    ]


def _drawn(pictures: Array, table: list[dict[str, Any]], rows: SelectedRows, kind: str) -> Figure:
    """Ten images in a line; perturbations are on one scale."""
    title = f"{plain(rows.title)}: {len(pictures)} {kind} of {len(rows)} ({rows.rows})"
    if not table:
        return empty(title, "no rows")
    scale = (float(np.abs(pictures).max(initial=0)) or 1.0) if kind == "perturbations" else None
    budget, decided = len(rows.budgets[0]) > 1, is_decided(rows.opened, kind)
    words = [_words(one, decided=decided, budget=budget) for one in table]
    tiles = [Tile(picture, over, scale=scale) for picture, over in zip(pictures, words, strict=True)]
    across = min(ACROSS, len(tiles))
    lines = [Line(tiles[first : first + across]) for first in range(0, len(tiles), across)]
    reading = ("class → what the model says" if decided else "class") + (" (budget)" if budget else "")
    notes = [reading, *([OUTSIDE] if kind == "images" and rows.opened.unclipped else [])]
    return page(Grid(lines, side_of(1, across, labels=False)), title, notes)[0]


def _words(one: dict[str, Any], *, decided: bool, budget: bool) -> tuple[str, ...]:
    """The classes and the budget over one image."""
    label = () if decided and one["label"] == NONE else (one["label"],)  # a picture that was made from nothing has no class
    words = (*label, arrow(one["prediction"])) if decided else label
    return (*words, f"({one['epsilon']})") if budget else words
