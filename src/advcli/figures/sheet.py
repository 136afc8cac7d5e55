"""A sheet of images with their classes, every class in proportion to its size."""

from typing import Annotated, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.evaluation.drawing import Drawing, shortened
from advcli.evaluation.outcomes import WORDS
from advcli.evaluation.selected_rows import COLUMN, SelectedRows
from advcli.images.dataset import stratified
from advcli.numerics.arrays import Array

ACROSS = 10
OUTSIDE = "\n(pixels outside [0, 1] are drawn as black and white)"
WIDEST = 14  # characters over one image


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
    """Ten images in a row; perturbations are red (more) and blue (less), on one scale. One pair of axes is faster than fifty."""
    down, signed = max(1, -(-len(pictures) // ACROSS)), kind == "perturbations"
    captions = _captions(table, kind, budget=len(rows.budgets[0]) > 1)
    scale, tall = float(np.abs(pictures).max(initial=0)) or 1.0, 1.06 + 0.16 * max(one.count("\n") + 1 for one in [*captions, ""])
    whole = Figure(figsize=(ACROSS * 0.9, down * tall * 0.9 + 0.5))
    told = f"\n{_scale(scale, colour=pictures.shape[1] == 3)}" if signed else ""
    told += OUTSIDE if kind == "images" and rows.opened.unclipped else ""
    whole.suptitle(f"{rows.title}: {len(pictures)} {kind} of {len(rows)} ({rows.rows}){told}\n{_reading(table, rows, kind)}")
    axes = whole.subplots()
    axes.axis("off")
    height, width = (0.94 * size / max(rows.opened.shape[1:]) for size in rows.opened.shape[1:])
    for place, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, bottom = place % ACROSS + (1 - width) / 2, -(place // ACROSS) * tall
        _show(axes, picture, (left, left + width, bottom, bottom + height), scale if signed else None)
        axes.text(left + width / 2, bottom + height + 0.03, caption, fontsize=7, ha="center", va="bottom", linespacing=1)
    axes.set(xlim=(0, ACROSS), ylim=((1 - down) * tall, tall), aspect="equal")
    return whole


def _scale(scale: float, *, colour: bool) -> str:
    """The explanation of a perturbation's colours."""
    if colour:
        return f"each channel from −{scale:.3g} (dark) over 0 (half bright) to +{scale:.3g} (bright)"
    return f"from −{scale:.3g} (blue) over 0 (white) to +{scale:.3g} (red)"


def _show(axes: Axes, picture: Array, extent: tuple[float, float, float, float], scale: float | None) -> None:
    """One image; for a perturbation, `scale` is the value of the darkest red."""
    if picture.shape[0] == 3:
        shown = picture.transpose(1, 2, 0)
        axes.imshow((shown if scale is None else shown / (2 * scale) + 0.5).clip(0, 1), extent=extent)
    elif scale is None:
        axes.imshow(picture.mean(0), cmap="gray", vmin=0, vmax=1, extent=extent)
    else:
        axes.imshow(picture.mean(0), cmap="RdBu_r", vmin=-scale, vmax=scale, extent=extent)


def _decided(one: dict[str, Any], kind: str) -> bool:
    """True if the stored prediction belongs to this image: it belongs to the attacked image, not to its original."""
    return "prediction" in one and kind != "originals"


def _reading(table: list[dict[str, Any]], rows: SelectedRows, kind: str) -> str:
    """The explanation of the captions."""
    words = "class → what the model says" if table and _decided(table[0], kind) else "class"
    return f"{words}, budget" if len(rows.budgets[0]) > 1 else words


def _captions(table: list[dict[str, Any]], kind: str, *, budget: bool) -> list[str]:
    """The classes over each image; in two lines if they would overlap the neighbour's."""
    found = []
    for one in table:
        words = [shortened(one["label"], WIDEST)]
        words += [f"→ {shortened(one['prediction'], WIDEST - 2)}"] if _decided(one, kind) else []
        between = " " if len(" ".join(words)) <= WIDEST else "\n"
        found.append(between.join(words) + (f"\n{shortened(one['epsilon'], WIDEST)}" if budget else ""))
    return found
