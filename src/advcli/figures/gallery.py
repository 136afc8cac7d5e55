"""The same images in several lines: the originals, and what attacks and filters made of them, one line for each budget and set.

A column is one image, and one target where there are several. Its class, and what the model says, are over it.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Annotated, Any

import numpy as np

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.errors import CommandError
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.outcomes import SUCCESS, WORDS, attack_of
from advcli.evaluation.picture_grid import Grid, Line, Tile, arrow, empty, is_decided, page, plain, side_of
from advcli.evaluation.selected_rows import NONE, SelectedRows
from advcli.images.dataset import stratified
from advcli.numerics.arrays import Array
from advcli.numerics.quantities import whole_numbers

ACROSS = 10
WIDEST = 13  # characters of a line's label
MOST_TITLE = 60
MOST = 100  # columns


@dataclass(frozen=True)
class Strip:
    """What one line shows: the images of a kind, of the rows of one set that have one budget."""

    rows: SelectedRows
    kind: str  # originals, images or perturbations
    budget: str | None  # None: the originals, whatever the budget

    @cached_property
    def places(self) -> Array:
        """The places of the rows in the file."""
        texts, number = self.rows.budgets
        return self.rows.places if self.budget is None else self.rows.places[number == texts.index(self.budget)]

    @cached_property
    def keys(self) -> tuple[Array, Array]:
        """The sorted columns of the gallery that the rows belong to, and the place of each one's first row."""
        keys, first = np.unique(columns_of(self.rows, self.places), return_index=True)
        return keys, self.places[first]

    def places_of(self, keys: Array) -> Array:
        known, places = self.keys
        return places[np.searchsorted(known, keys)]

    @property
    def decided(self) -> bool:
        return is_decided(self.rows.opened, self.kind)


@figure(sets="all")
def gallery(
    sets: list[SelectedRows],
    *,
    images: Annotated[int, Param("Number of images to show, every class in proportion to its size.", low=1, high=100)] = 10,
    index: Annotated[str | None, Param("Images to show, by their position in the data: 3,17,40.", form="N,...")] = None,
) -> Drawing:
    if len({(rows.opened.classes, rows.opened.shape) for rows in sets}) > 1:
        raise CommandError(
            "--figure gallery: the sets have other classes or sizes of images; it shows the same images of every set"
        )
    strips = _strips(sets)
    keys = _chosen(strips, images, index)
    title = (
        f"{plain(', '.join(rows.title for rows in sets), MOST_TITLE)}: {len(keys)} images in {len(strips)} lines ({sets[0].rows})"
    )
    if not len(keys):
        return Drawing(empty(title, "no rows: no image is in every line"), [])
    pictures, tables = [_pictures(strip, keys) for strip in strips], [_table(strip, keys) for strip in strips]
    _check_same(strips, keys, pictures)
    signed = [made for strip, made in zip(strips, pictures, strict=True) if strip.kind == "perturbations"]
    scale = max([float(np.abs(made).max()) for made in signed], default=0.0) or 1.0
    lines = [_line(*one, scale) for one in zip(strips, pictures, tables, strict=True)]
    across = min(ACROSS, len(keys))
    blocks = [Line(line.tiles[k : k + across], line.label) for k in range(0, len(keys), across) for line in lines]
    grid = Grid(blocks, side_of(len(lines), across))
    return Drawing(page(grid, title, _notes(strips, lines))[0], [one for table in tables for one in table])


def columns_of(rows: SelectedRows, places: Array) -> Array:
    """A number for the image and the target of each row: the column that it stands in."""
    index, classes = rows.opened.column("index")[places], len(rows.opened.classes)
    target = rows.opened.column("target")[places] if "target" in rows.opened else np.full(len(places), -1)
    found: Array = index * (classes + 1) + target + 1
    return found


def _strips(sets: Sequence[SelectedRows]) -> list[Strip]:
    """The lines: the originals once, then every budget of every set."""
    found = [Strip(rows, "originals", None) for rows in sets if "original" in rows.opened][:1]
    for rows in sets:
        if (kind := rows.kinds[0]) != "originals":
            found += [Strip(rows, kind, budget) for budget in rows.budgets[0]]
    return found


def _chosen(strips: list[Strip], count: int, index: str | None) -> Array:
    """The columns, sorted by class; those that are in every line."""
    if not strips:
        return np.zeros(0, np.int64)
    keys = reduce(np.intersect1d, [strip.keys[0] for strip in strips])
    place = strips[0].places_of(keys) if len(keys) else np.zeros(0, np.int64)
    opened = strips[0].rows.opened
    label, position = opened.column("labels")[place], opened.column("index")[place]
    if index is not None:
        wanted = whole_numbers(index, "--index")
        if lacking := sorted(set(wanted) - set(position.tolist())):
            rows = strips[0].rows.rows
            raise CommandError(f"--index {lacking[0]}: no row of this image is in every line of the gallery ({rows} rows)")
        keys = np.concatenate([keys[position == one] for one in wanted])
        if len(keys) > MOST:
            raise CommandError(
                f"--index {index}: these are {len(keys)} columns, at most {MOST}; choose some with --where target=X"
            )
        return keys
    mask = stratified(label, min(count, len(keys)), "gallery")
    return keys[mask][np.argsort(label[mask], kind="stable")]


def _pictures(strip: Strip, keys: Array) -> Array:
    found = np.zeros((len(keys), *strip.rows.opened.shape), np.float32)
    for part, made in strip.rows.batches(strip.kind, of=strip.places_of(keys)):
        found[part] = made[strip.kind]
    return found


def _check_same(strips: list[Strip], keys: Array, pictures: list[Array]) -> None:
    """Refuse sets whose images only share their numbers: the classes of all rows, and the originals where there are any."""
    label = strips[0].rows.opened.column("labels")[strips[0].places_of(keys)]
    for strip in strips[1:]:
        opened = strip.rows.opened
        same = np.array_equal(opened.column("labels")[strip.places_of(keys)], label)
        if same and "original" in opened and strips[0].budget is None:
            same = np.array_equal(_pictures(Strip(strip.rows, "originals", strip.budget), keys), pictures[0])
        if not same:
            raise CommandError(
                f"--figure gallery: {opened.path} has other images than {strips[0].rows.opened.path} under the same index"
            )


def _table(strip: Strip, keys: Array) -> list[dict[str, Any]]:
    """The rows of the CSV, one for each picture of the line."""
    rows, places = strip.rows, strip.places_of(keys)
    words = [word for word in ("label", "target") if word == "label" or word in rows.opened]
    names = {word: rows.names(word, places) for word in words}
    said = "clean_prediction" if strip.budget is None else "prediction"
    codes = rows.opened.column(said)[places] if said in rows.opened and (strip.decided or strip.budget is None) else None
    outcome = None if rows.outcome is None or not strip.decided else rows.outcome[np.searchsorted(rows.considered, places)]
    return [
        {"set": rows.title, "of": strip.kind, "epsilon": strip.budget, "row": int(place)}
        | {"index": int(rows.opened.column("index")[place])}
        | {word: texts[k] for word, texts in names.items()}
        | {"prediction": None if codes is None else [*rows.opened.classes, NONE][codes[k]]}
        | {"outcome": None if outcome is None else WORDS[outcome[k]]}
        for k, place in enumerate(places)
    ]


def _line(strip: Strip, pictures: Array, table: list[dict[str, Any]], scale: float) -> Line:
    signed = scale if strip.kind == "perturbations" else None
    won = WORDS[SUCCESS]
    tiles = [Tile(made, _words(strip, one), one["outcome"] == won, signed) for made, one in zip(pictures, table, strict=True)]
    return Line(tiles, _label(strip))


def _words(strip: Strip, one: dict[str, Any]) -> tuple[str, ...]:
    """The class and the decision over one picture; over an original only what is not as it should be, and the target."""
    label, said = one["label"], one["prediction"]
    if strip.budget is not None:
        return (*(() if label == NONE else (label,)), arrow(said)) if strip.decided else ()
    words = (label,) if said in (None, label) or label == NONE else (label, arrow(said))
    return (*words, f"(to {one['target']})") if one.get("target", NONE) != NONE else words


def _label(strip: Strip) -> str:
    """The words left of a line."""
    if strip.budget is None:
        return "original"
    made = attack_of(strip.rows.opened.header)
    budget = f"{made['norm']} {strip.budget}" if made and strip.budget != NONE else ""
    name = textwrap.wrap(plain(strip.rows.opened.path.stem, 3 * WIDEST), WIDEST)
    return "\n".join([*name, *([budget] if budget else [])])


def _notes(strips: list[Strip], lines: list[Line]) -> list[str]:
    """The explanation of what is over the pictures, and of the frames."""
    found = ["class → what the model says"] if any(strip.decided for strip in strips) else ["class"]
    found += ["framed: the attack succeeded"] if any(tile and tile.framed for line in lines for tile in line.tiles) else []
    filtered = any(strip.rows.opened.kind == "filtered" for strip in strips)
    notes = ["; ".join(found)] + (["filtered images have no stored decision: none is over them"] if filtered else [])
    outside = any(strip.rows.opened.unclipped and strip.kind == "images" for strip in strips)
    return notes + (["pixels outside [0, 1] are drawn as black and white"] if outside else [])
