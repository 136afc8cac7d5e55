"""A grid of mean images: a row for each class, a column for each class that the attack moves it to.

A cell is the mean of the rows of one pair of classes: of images, or with --of of perturbations. The diagonal shows the originals.
The column of an untargeted row is the class that the model then says. Each budget of a sweep has its own grid; at most four are
drawn, and of more than 20 classes those with the most rows. The CSV has the counts of all.

Wang, Kunin and Pyron, figure 1.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.evaluation import pictures
from advcli.evaluation.captions import WIDE, heading, no_rows, on_one_line
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.pairs import Pairs, class_means, class_samples, means, pairs_of
from advcli.evaluation.selected_rows import MOST_GROUPS, SelectedRows
from advcli.numerics.arrays import Array

MOST_CLASSES, MOST_BUDGETS, CROWDED = 20, 4, 12
SIDE = 64  # pixels: larger images are drawn smaller
BLANK, FRAME = (0.86, 0.89, 0.93), "#e69f00"
DIAGONAL = {"mean": "mean of the originals", "sample": "first original"}
Place = tuple[int, int, int]  # budget, source, target


@dataclass(frozen=True)
class Shown:
    """What is drawn: the budgets, the classes of the rows and of the columns, and an image for each cell that has one."""

    budgets: list[int]
    sources: list[int]
    targets: list[int]
    none: int  # the number of rows without a class
    images: dict[Place, Array]

    def original(self, source: int, target: int) -> bool:
        """True on the diagonal; the last row and the last column may be of no class."""
        return source == target and source < self.none

    def has(self, place: Place) -> bool:
        return place[0] in self.budgets and place[1] in self.sources and place[2] in self.targets


@figure(needs=("target", "prediction"))
def grid(
    rows: SelectedRows,
    *,
    diagonal: Annotated[
        Literal["mean", "sample"], Param("On the diagonal: the mean of the originals of each class, or the first of them.")
    ] = "mean",
) -> Drawing:
    kind, pairs, (texts, numbers) = rows.kinds[0], pairs_of(rows), rows.budgets
    what = f"Mean of {kind} from class to class"
    if not len(rows):
        return Drawing(no_rows(heading(what, rows)), [])
    shown = _shown(pairs, len(texts))
    wide, lines = len(pairs.sources), _blank_lines(rows, kind, pairs)
    cell = np.where(pairs.unmoved, -1, (numbers * wide + pairs.source) * wide + pairs.target)
    for number, count, mean in means(rows, kind, cell):
        place = (number // wide**2, number // wide % wide, number % wide)
        lines[place] = _line(rows, pairs, place, f"mean of {kind}", count, mean)
        if shown.has(place):
            shown.images[place] = _smaller(mean)
    note = "" if "originals" not in rows.opened else _add_originals(rows, pairs, diagonal, shown, lines)
    unmoved = np.bincount(numbers[pairs.unmoved], minlength=len(texts))
    left = [{"epsilon": text, "rows": rows.rows, "shown": "not drawn: kept its class", "n": int(n)}
            for text, n in zip(texts, unmoved, strict=True) if n]  # fmt: skip
    title = heading(what, rows) + note + (f"\n{unmoved.sum():,} rows that kept their class are not drawn" if left else "")
    return Drawing(_drawn(rows, pairs, shown, title), [lines[place] for place in sorted(lines)] + left)


def _shown(pairs: Pairs, budgets: int) -> Shown:
    """The classes of any row, or those with the most rows; rows without a label and rejected ones come last."""
    none = len(pairs.sources) - 1
    count = np.bincount(pairs.source, minlength=none + 1) + np.bincount(pairs.target, minlength=none + 1)
    most = np.argsort(-count[:none], kind="stable")[:MOST_CLASSES]
    classes = sorted(int(k) for k in most if count[k])
    sources, targets = (classes + [none] * bool((codes == none).any()) for codes in (pairs.source, pairs.target))
    some = np.unique(np.linspace(0, budgets - 1, MOST_BUDGETS).round().astype(int))
    return Shown(some.tolist(), sources, targets, none, {})


def _line(rows: SelectedRows, pairs: Pairs, place: Place, shown: str, n: int, mean: Array | None) -> dict[str, Any]:
    """A row of the CSV."""
    budget, source, target = place
    value = None if mean is None else float(mean.mean())
    return {"epsilon": rows.budgets[0][budget], **pairs.named(source, target), "rows": rows.rows, "shown": shown, "n": n,
            "mean_value": value}  # fmt: skip


def _blank_lines(rows: SelectedRows, kind: str, pairs: Pairs) -> dict[Place, dict[str, Any]]:
    """A row without images for every pair of classes, unless there are too many."""
    budgets, none = len(rows.budgets[0]), len(pairs.sources) - 1
    classes = [k for k in np.union1d(pairs.source, pairs.target).tolist() if k < none]
    if budgets * len(classes) ** 2 > MOST_GROUPS:
        return {}
    places = [(b, s, t) for b in range(budgets) for s in classes for t in classes if s != t]
    return {place: _line(rows, pairs, place, f"mean of {kind}", 0, None) for place in places}


def _add_originals(rows: SelectedRows, pairs: Pairs, diagonal: str, shown: Shown, lines: dict[Place, dict[str, Any]]) -> str:
    """Fill the diagonal, whose images belong to no budget; the note that explains it."""
    originals, counts = (class_means if diagonal == "mean" else class_samples)(rows.opened)
    for k in np.flatnonzero(counts):
        for budget in range(len(rows.budgets[0])):
            place = (budget, int(k), int(k))
            if k in pairs.source or k in pairs.target:
                lines[place] = _line(rows, pairs, place, DIAGONAL[diagonal], int(counts[k]), originals[k])
            if shown.has(place):
                shown.images[place] = _smaller(originals[k])
    return f"\ndiagonal (framed): the {DIAGONAL[diagonal]} of each class in the file"


def _smaller(mean: Array) -> Array:
    """The image, or the means of its blocks if it is large."""
    _, *sides = mean.shape
    block = -(-max(sides) // SIDE)
    whole = torch.from_numpy(mean)
    found: Array = torch.nn.functional.adaptive_avg_pool2d(whole, (-(-sides[0] // block), -(-sides[1] // block))).numpy()
    return found.astype(np.float32) if block > 1 else mean


def _drawn(rows: SelectedRows, pairs: Pairs, shown: Shown, title: str) -> Figure:
    """A grid for each budget, all on one scale."""
    count, channels = len(shown.budgets), rows.opened.shape[0]
    moved = [image for (_, source, target), image in shown.images.items() if not shown.original(source, target)]
    scale = pictures.largest(moved) if rows.kinds[0] == "perturbations" else None
    title += _left_out(rows, pairs, shown) + pictures.told(scale, channels)
    names = [on_one_line(pairs.targets[k]) for k in shown.targets]
    whole = Figure(figsize=_size(rows, shown, names, 1 + title.count("\n")))
    whole.suptitle(title)
    every = list(whole.subplots(-(-count // 2), min(count, 2), squeeze=False).flat)
    for axes, budget in zip(every, shown.budgets, strict=False):
        _panel(axes, shown, budget, scale)
        _ticks(axes, rows, pairs, shown)
        if len(rows.budgets[0]) > 1:
            axes.set_title(f"budget {rows.budgets[0][budget]}")
    for axes in every[count:]:
        axes.axis("off")
    pictures.bar(every, f"mean {'difference' if scale else 'pixel value'}", scale, channels)
    return whole


def _size(rows: SelectedRows, shown: Shown, names: list[str], lines: int) -> tuple[float, float]:
    """Width and height in inches: the cells are not stretched, and names and title have a place."""
    count, (_, high, wide) = len(shown.budgets), rows.opened.shape
    width = WIDE if count > 1 else min(WIDE, max(4.0, 0.55 * len(shown.targets) + 1.6))
    label = 0.07 * max(map(len, names))
    panel = (width - 1.0) / min(count, 2) - 0.5 - label
    tall = panel * len(shown.sources) * high / (len(shown.targets) * wide)
    return width, -(-count // 2) * (tall + 0.8 + label) + 0.18 * lines


def _left_out(rows: SelectedRows, pairs: Pairs, shown: Shown) -> str:
    """What the picture lacks and the CSV has."""
    budgets, none = len(rows.budgets[0]), len(pairs.sources) - 1
    classes = int((np.union1d(pairs.source, pairs.target) < none).sum())
    found = [f"{len(shown.budgets)} of {budgets} budgets"] if budgets > len(shown.budgets) else []
    found += [f"the {MOST_CLASSES} of {classes} classes with the most rows"] if classes > MOST_CLASSES else []
    return f"\n{' and '.join(found)} are drawn; the counts of all are in the CSV" if found else ""


def _panel(axes: Axes, shown: Shown, budget: int, scale: float | None) -> None:
    """The cells of one budget as one image; originals are framed, and never in signed colours."""
    down, across = len(shown.sources), len(shown.targets)
    high, wide = next(iter(shown.images.values())).shape[1:] if shown.images else (1, 1)
    canvas = np.full((down, high, across, wide, 3), BLANK)
    for y, source in enumerate(shown.sources):
        for x, target in enumerate(shown.targets):
            image, own = shown.images.get((budget, source, target)), shown.original(source, target)
            if image is not None:
                canvas[y, :, x] = pictures.coloured(image, None if own else scale)
            if own and image is not None:
                axes.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor=FRAME, linewidth=1, zorder=3, clip_on=False))
    whole = canvas.reshape(down * high, across * wide, 3)
    axes.imshow(whole, extent=(0, across, down, 0), interpolation="nearest", aspect=high / wide)
    axes.hlines(np.arange(down + 1), 0, across, color="white", linewidth=0.8)
    axes.vlines(np.arange(across + 1), 0, down, color="white", linewidth=0.8)


def _ticks(axes: Axes, rows: SelectedRows, pairs: Pairs, shown: Shown) -> None:
    """The classes at both sides."""
    aimed = bool((rows.column("target") >= 0).any())
    columns, lines = ([on_one_line(names[k]) for k in codes]
                      for names, codes in ((pairs.targets, shown.targets), (pairs.sources, shown.sources)))  # fmt: skip
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=90 if max(map(len, columns), default=0) > 2 else 0)
    axes.set_yticks(np.arange(len(lines)) + 0.5, lines)
    axes.tick_params(length=0, labelsize=8 if len(lines) <= CROWDED else 6)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="target class" if aimed else "class that the model then says", ylabel="class of the image")
