"""An image, its perturbation amplified by a factor that the title states, and the adversarial image.

The perturbation p is shown as factor * p + 1/2, with factor = 1 / (2 max |p|) unless --amplify gives another: the largest of
all shown perturbations then fills the scale.
"""

from typing import Annotated, Any

import numpy as np
import torch

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.errors import CommandError
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.outcomes import SUCCESS, WORDS
from advcli.evaluation.picture_grid import Grid, Line, Tile, arrow, empty, is_decided, page, plain
from advcli.evaluation.selected_rows import COLUMN, NONE, NORMS, SelectedRows
from advcli.numerics.arrays import Array
from advcli.numerics.balls import distance
from advcli.numerics.quantities import whole_numbers

MOST = 20  # lines
SIDE = 1.3  # inches


@figure(needs=("original",))
def triptych(
    rows: SelectedRows,
    *,
    index: Annotated[str | None, Param("Images to show, by their position in the data: 3,17,40.", form="N,...")] = None,
    amplify: Annotated[
        float | None, Param("Factor of the perturbation. [default: 1 / (2 max |p|), so that it fills the scale]", low=0)
    ] = None,
) -> Drawing:
    chosen = _chosen(rows, index)
    if not len(chosen):
        return Drawing(empty(f"{plain(rows.title)}: no rows ({rows.rows})", "no image was attacked"), [])
    kinds = ("originals", "perturbations", "images")
    made = {kind: np.zeros((len(chosen), *rows.opened.shape), np.float32) for kind in kinds}
    for part, found in rows.batches(*kinds, of=rows.places[chosen]):
        for kind in kinds:
            made[kind][part] = found[kind]
    largest = float(np.abs(made["perturbations"]).max())
    factor = amplify or 1 / (2 * (largest or 0.5))
    table = _table(rows, chosen, made["perturbations"], factor)
    said = is_decided(rows.opened, "images")
    lines = [_line(one, [made[kind][k] for kind in kinds], 1 / (2 * factor), said=said) for k, one in enumerate(table)]
    title = f"{plain(rows.title)}: original, perturbation × {factor:.4g}, adversarial image"
    notes = (
        [] if 2 * factor * largest <= 1 + 1e-6 else [f"larger than ±{1 / (2 * factor):.3g} is drawn as ±{1 / (2 * factor):.3g}"]
    )
    return Drawing(page(Grid(lines, SIDE), title, notes)[0], table)


def _chosen(rows: SelectedRows, index: str | None) -> Array:
    """Positions among the rows: all of the named images, or the first success, or the first row."""
    if index is None:
        won = np.flatnonzero(rows.column("success") == 1) if "success" in rows.opened else np.zeros(0, np.int64)
        return won[:1] if len(won) else np.arange(min(1, len(rows)))
    position, wanted = rows.column("index"), whole_numbers(index, "--index")
    each = [np.flatnonzero(position == one) for one in wanted]
    for one, some in zip(wanted, each, strict=True):
        if not len(some):
            raise CommandError(f"--index {one}: {rows.opened.path} has no row of this image ({rows.rows} rows)")
    if (count := sum(map(len, each))) > MOST:
        raise CommandError(
            f"--index {index}: these are {count} rows, at most {MOST}; choose some with --where epsilon=X,target=Y"
        )
    return np.concatenate(each)


def _table(rows: SelectedRows, chosen: Array, perturbations: Array, factor: float) -> list[dict[str, Any]]:
    """The rows of the CSV, one for each line."""
    places, (budgets, number) = rows.places[chosen], rows.budgets
    columns = COLUMN | {"clean_prediction": "clean_prediction"}
    names = {
        word: [[*rows.opened.classes, NONE][code] for code in rows.opened.column(column)[places]]
        for word, column in columns.items()
        if column in rows.opened
    }
    outcome = None if rows.outcome is None else rows.outcome[rows.kept][chosen]
    p = torch.from_numpy(perturbations)
    sizes = {norm: distance(p, torch.zeros_like(p), norm) for norm in NORMS}
    return [
        {"row": int(places[k]), "index": int(rows.opened.column("index")[places[k]]), "epsilon": budgets[number[one]]}
        | {word: texts[k] for word, texts in names.items()}
        | {"outcome": None if outcome is None else WORDS[outcome[k]], "factor": factor}
        | {norm: float(size[k]) for norm, size in sizes.items()}
        for k, one in enumerate(chosen)
    ]


def _line(one: dict[str, Any], pictures: list[Array], scale: float, *, said: bool) -> Line:
    """The three pictures of a row; with `said`, the stored prediction is of the last one."""
    original, perturbation, image = pictures
    before = one.get("clean_prediction", one["label"])
    first = (one["label"],) if before == one["label"] else (one["label"], arrow(before))
    target = () if one.get("target", NONE) == NONE else (f"(to {one['target']})",)
    words = (f"linf {one['linf']:.2g}, l2 {one['l2']:.2g}",)
    won, last = said and one["outcome"] == WORDS[SUCCESS], (arrow(one["prediction"]),) if said else ()
    tiles = [Tile(original, (*first, *target)), Tile(perturbation, words, scale=scale), Tile(image, last, framed=won)]
    budget = "" if one["epsilon"] == NONE else f"\nbudget {one['epsilon']}"
    return Line(tiles, f"image {one['index']}{budget}")
