"""Two sets row by row: which images, decisions and successes differ, and by how much.

Rows belong together that have the same image, target and budget. The table has the linf and l2 distance of their images; the
picture shows the largest. If nothing differs, it says so.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.errors import CommandError
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.picture_grid import Grid, Line, Tile, arrow, empty, is_decided, page, plain, side_of
from advcli.evaluation.selected_rows import NONE, SelectedRows, coded
from advcli.numerics.arrays import Array
from advcli.numerics.balls import distance

Key = tuple[int, str, float, int]  # image, target, budget, and which of several such rows
COLUMNS = ("label", "clean_prediction", "prediction", "success")
DECIDED = ("prediction", "success")
NORMS = ("linf", "l2")


@dataclass(frozen=True)
class Pairs:
    """The rows of two sets that belong together, by their places in the files, and those that only one of them has."""

    sets: tuple[SelectedRows, SelectedRows]
    places: tuple[Array, Array]
    alone: tuple[Array, Array]

    @property
    def kind(self) -> str:
        return "perturbations" if self.sets[0].opened.signed else "images"

    def pictures(self, some: Array) -> tuple[Array, Array]:
        """The images of some pairs."""
        made = [np.concatenate([found[self.kind] for _, found in rows.batches(self.kind, of=places[some])])
                for rows, places in zip(self.sets, self.places, strict=True)]  # fmt: skip
        return made[0], made[1]


@figure(sets="all")
def diff(
    sets: list[SelectedRows],
    *,
    largest: Annotated[int, Param("Number of pairs to show: those whose images differ most.", low=1, high=20)] = 8,
    tolerance: Annotated[float, Param("Pixels that differ by no more than this are equal.", low=0)] = 0.0,
) -> Drawing:
    pairs = _paired(sets)
    sizes = _distances(pairs)
    table = _table(pairs, sizes, tolerance)
    title, told = " and ".join(plain(rows.title, 30) for rows in sets), _summary(pairs, table)
    moved = np.flatnonzero(sizes["linf"] > tolerance)
    chosen = moved[np.lexsort((moved, -sizes["l2"][moved], -sizes["linf"][moved]))][:largest]
    if not len(chosen):
        return Drawing(empty(title, told), table)
    return Drawing(_drawn(pairs, chosen, table, f"{title}: {told}"), table)


def _paired(sets: Sequence[SelectedRows]) -> Pairs:
    """The pairs in the order of the first set; a row takes part if it is selected in one of the two sets."""
    if len(sets) != 2:
        raise CommandError(f"--figure diff: compares two files; {len(sets)} given")
    a, b = sets
    if a.opened.signed != b.opened.signed or a.opened.shape != b.opened.shape:
        raise CommandError("--figure diff: one file has images and the other perturbations, or images of another size")
    first, second = _keys(a), _keys(b)
    place = {key: k for k, key in enumerate(second)}
    found = [(k, place[key]) for k, key in enumerate(first) if key in place and (a.kept[k] or b.kept[place[key]])]
    left, right = np.array(found, np.int64).reshape(-1, 2).T
    alone = [_without(*one) for one in ((a, first, second), (b, second, first))]
    return Pairs((a, b), (a.considered[left], b.considered[right]), (alone[0], alone[1]))


def _keys(rows: SelectedRows) -> list[Key]:
    """What every considered row is of; names of classes, since their numbers may differ between the files."""
    opened, places = rows.opened, rows.considered
    target = rows.names("target", places) if "target" in opened else [NONE] * len(places)
    budget = np.nan_to_num(opened.column("epsilon")[places], nan=-1) if "epsilon" in opened else np.full(len(places), -1.0)
    seen: dict[tuple[int, str, float], count[int]] = defaultdict(count)
    every = zip(opened.column("index")[places].tolist(), target, budget.tolist(), strict=True)
    return [(*one, next(seen[one])) for one in every]


def _without(rows: SelectedRows, own: list[Key], others: list[Key]) -> Array:
    """Places of the selected rows that the other set lacks."""
    known = set(others)
    lacking = np.array([key not in known for key in own], bool)
    return rows.considered[lacking & rows.kept]


def _distances(pairs: Pairs) -> dict[str, Array]:
    """The distances of all pairs; one batch of each set is in memory."""
    found = {norm: np.zeros(len(pairs.places[0])) for norm in NORMS}
    streams = [rows.batches(pairs.kind, of=places) for rows, places in zip(pairs.sets, pairs.places, strict=True)]
    for (part, one), (_, other) in zip(*streams, strict=True):
        a, b = (torch.from_numpy(made[pairs.kind]) for made in (one, other))
        for norm in NORMS:
            found[norm][part] = distance(a, b, norm).numpy()
    return found


def _columns(rows: SelectedRows, places: Array) -> dict[str, list[Any]]:
    """What the table compares: classes by name, and success."""
    found: dict[str, list[Any]] = {}
    for word in COLUMNS:
        column = "labels" if word == "label" else word
        if column in rows.opened:
            values = rows.opened.column(column)[places].tolist()
            found[word] = values if word == "success" else [[*rows.opened.classes, NONE][code] for code in values]
    return found


def _table(pairs: Pairs, sizes: dict[str, Array], tolerance: float) -> list[dict[str, Any]]:
    """The rows of the CSV: every pair, then every row that has no partner."""
    (a, b), (left, right) = pairs.sets, pairs.places
    first, second = _columns(a, left), _columns(b, right)
    filtered = any(rows.opened.kind == "filtered" for rows in pairs.sets)  # it keeps the decisions before the filter
    shared = [word for word in COLUMNS if word in first and word in second and not (filtered and word in DECIDED)]
    index, (budgets, number) = a.opened.column("index"), coded(a.opened, "epsilon", left)
    table = []
    for k in range(len(left)):
        values = {word: (first[word][k], second[word][k]) for word in shared}
        line: dict[str, Any] = {"row_a": int(left[k]), "row_b": int(right[k]), "index": int(index[left[k]])}
        line |= {"epsilon": budgets[number[k]]} | {norm: float(sizes[norm][k]) for norm in NORMS}
        line |= {"image_changed": int(sizes["linf"][k] > tolerance)}
        for word, (one, other) in values.items():
            line |= {f"{word}_a": one, f"{word}_b": other, f"{word}_changed": int(one != other)}
        table.append(line)
    for rows, places, name in zip(pairs.sets, pairs.alone, ("row_a", "row_b"), strict=True):
        table += [{"row_a": None, "row_b": None, "index": int(rows.opened.column("index")[k])} | {name: int(k)} for k in places]
    return table


def _summary(pairs: Pairs, table: list[dict[str, Any]]) -> str:
    """What differs, in words; columns that only one file has are not compared."""
    count, alone = len(pairs.places[0]), [len(places) for places in pairs.alone]
    if not count + sum(alone):
        return "no rows"
    words = {"image": pairs.kind, "label": "classes", "clean_prediction": "clean predictions", "prediction": "predictions"}
    compared = [word for word in ("image", *COLUMNS) if count and f"{word}_changed" in table[0]]
    changed = {word: sum(one.get(f"{word}_changed", 0) for one in table) for word in compared}
    told = [f"{words.get(word, 'successes')} in {n}" for word, n in changed.items() if n or word == "image"]
    lacking = f"; {alone[0]} rows only in the first, {alone[1]} only in the second" if any(alone) else ""
    if not any(changed.values()):
        also = ", ".join(words.get(word, "successes") for word in compared)
        return (f"equal in all {count} rows: {also}" if count else "no row is in both") + lacking
    return f"of {count} rows differ: {', '.join(told)}{lacking}"


def _drawn(pairs: Pairs, chosen: Array, table: list[dict[str, Any]], title: str) -> Figure:
    """The first set, the second, and the difference on one scale."""
    a, b = pairs.pictures(chosen)
    scale = float(np.abs(b - a).max())
    own = float(max(np.abs(a).max(), np.abs(b).max())) or 1.0
    signed = own if pairs.kind == "perturbations" else None
    lines = []
    for name, made, rows in (("a", a, pairs.sets[0]), ("b", b, pairs.sets[1])):
        words = [_words(table[k], name, rows, pairs.kind) for k in chosen]
        tiles = [Tile(picture, over, scale=signed) for picture, over in zip(made, words, strict=True)]
        lines.append(Line(tiles, plain(rows.title, 13)))
    several = len({table[k]["epsilon"] for k in range(len(pairs.places[0]))}) > 1
    told = [_numbers(table[k], budget=several) for k in chosen]
    lines.append(Line([Tile(d, over, scale=scale) for d, over in zip(b - a, told, strict=True)], "difference"))
    notes = [f"the {len(chosen)} largest differences of {pairs.kind}"]
    return page(Grid(lines, side_of(len(lines), len(chosen), captions=3)), title, notes)[0]


def _words(one: dict[str, Any], name: str, rows: SelectedRows, kind: str) -> tuple[str, ...]:
    """Class and decision over a picture."""
    said = (arrow(one[f"prediction_{name}"]),) if is_decided(rows.opened, kind) and f"prediction_{name}" in one else ()
    return (one.get(f"label_{name}", NONE), *said)


def _numbers(one: dict[str, Any], *, budget: bool) -> tuple[str, ...]:
    """The image, its budget and the size of the difference."""
    return (f"image {one['index']}", *([f"budget {one['epsilon']}"] if budget else []), f"linf {one['linf']:.2g}")
