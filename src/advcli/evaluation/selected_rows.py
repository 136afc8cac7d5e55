"""The selected rows of one image set, for statistics and figures: their groups, columns, and images in batches.

Columns are in memory, one number for each row; of the images only one batch is in memory at a time.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from advcli.errors import CommandError
from advcli.evaluation.outcomes import KEPT, attack_of, outcomes, usual
from advcli.files.imageset_reader import ImageSet
from advcli.numerics.arrays import Array
from advcli.numerics.balls import distance
from advcli.numerics.moments import Grid, Moments
from advcli.numerics.quantities import fraction

COLUMN = {"label": "labels", "target": "target", "prediction": "prediction"}  # what rows can be grouped by
WHERE = ("epsilon", "success", "index")
NORMS = ("l0", "l1", "l2", "linf")
NONE = "-"  # no class, no budget
MOST_ROWS, MOST_BYTES = 1024, 1 << 24  # of one batch of images
MOST_GROUPS = 10_000  # with more, only groups that have rows are listed


@dataclass(frozen=True)
class Groups:
    """The groups of a table: the columns that name them, their keys, and each row's number."""

    by: tuple[str, ...]
    keys: list[tuple[str, ...]]
    of_row: Array

    def key(self, number: int) -> dict[str, str]:
        """The cells that name a group."""
        return dict(zip(self.by, self.keys[number], strict=True))


@dataclass(frozen=True)
class Measured:
    """The results of one pass over the images: norms by row, moments and quantiles of values by group."""

    norms: dict[str, Array]
    values: dict[str, tuple[Moments, Grid]]

    def extremes(self, kind: str) -> tuple[float, float]:
        """The lowest and the highest value of a kind; (inf, -inf) if there is none."""
        moments, _ = self.values[kind]
        return float(moments.low.min(initial=np.inf)), float(moments.high.max(initial=-np.inf))


@dataclass(frozen=True)
class SelectedRows:
    """Rows of one set. `considered` are those of `--where`; `places` are those of them that statistics use."""

    opened: ImageSet
    kinds: tuple[str, ...]  # of images, originals, perturbations: what was asked for
    rows: str  # which of the considered rows: a key of KEPT
    considered: Array
    outcome: Array | None  # of every considered row
    groups: Groups  # of every considered row

    @cached_property
    def kept(self) -> Array:
        """A mask of the selected rows."""
        return kept(self.outcome, self.rows, len(self.considered))

    @cached_property
    def places(self) -> Array:
        """The selected rows, by their place in the file."""
        return self.considered[self.kept]

    @cached_property
    def group(self) -> Array:
        """The number of every selected row's group."""
        return self.groups.of_row[self.kept]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def title(self) -> str:
        """The set in a caption."""
        return self.opened.path.name

    def column(self, name: str) -> Array:
        """A column of the file, of the selected rows."""
        return self.opened.column(name)[self.places]

    @cached_property
    def budgets(self) -> tuple[list[str], Array]:
        """The budgets of the selected rows as text, and the number of each row's budget."""
        texts, codes = coded(self.opened, "epsilon", self.places)
        present, numbers = np.unique(codes, return_inverse=True)
        return [texts[k] for k in present], numbers

    def names(self, word: str, places: Array) -> list[str]:
        """The classes of some rows of the file, by name: their label, target or prediction."""
        texts, codes = coded(self.opened, word, places)
        return [texts[k] for k in codes]

    def batches(self, *kinds: str, of: Array | None = None) -> Iterator[tuple[slice, dict[str, Array]]]:
        """(positions among the rows, their images of each kind) in batches, as float32; all selected rows, or those in `of`."""
        if lacking := [kind for kind in kinds if kind not in available(self.opened)]:
            raise CommandError(f"{self.opened.path}: has no {lacking[0]}")
        places = self.places if of is None else of
        step = max(1, min(MOST_ROWS, MOST_BYTES // (4 * int(np.prod(self.opened.shape)))))
        for start in range(0, len(places), step):
            part = slice(start, min(start + step, len(places)))
            yield part, self._pictures(places[part], kinds)

    def _limits(self, kind: str) -> tuple[int, int]:
        """Whole numbers between which all values of a kind lie."""
        low, high = (0, 1) if kind == "originals" else self.opened.header["range"]
        if kind == "perturbations" and not self.opened.signed:
            low, high = low - 1, high  # originals lie in [0, 1]
        return math.floor(low), math.ceil(high)

    def _pictures(self, places: Array, kinds: tuple[str, ...]) -> dict[str, Array]:
        images = self.opened.pick("images", places).numpy()
        if self.opened.signed:
            return {"perturbations": images}
        found = {"images": images}
        if {"originals", "perturbations"} & {*kinds}:
            found["originals"] = self.opened.pick("originals", self.opened.column("original")[places]).numpy()
            found["perturbations"] = images - found["originals"]
        return found

    @cached_property
    def measured(self) -> Measured:
        """Norms and values of the selected rows, in one pass; norms are of perturbations where there are any."""
        far = "perturbations" if "perturbations" in available(self.opened) else "images"
        norms = {norm: np.zeros(len(self)) for norm in NORMS}
        groups = len(self.groups.keys)
        values = {kind: (Moments(groups), Grid(groups, *self._limits(kind))) for kind in self.kinds}
        for part, pictures in self.batches(far, *self.kinds):
            size = torch.from_numpy(pictures[far])
            for norm, found in norms.items():
                found[part] = distance(size, torch.zeros_like(size), norm).numpy()
            for kind, counters in values.items():
                for one in counters:
                    one.add(self.group[part], pictures[kind])
        return Measured(norms, values)


def kept(outcome: Array | None, rows: str, count: int) -> Array:
    """A mask of the rows with a selected outcome."""
    return np.ones(count, bool) if outcome is None else np.isin(outcome, KEPT[rows])


def select(opened: ImageSet, *, of: str | None, by: str, where: str | None, rows: str | None) -> SelectedRows:
    """The rows that the options of `stats` name; CommandError if the file has no such column."""
    words = [] if by == "none" else by.split(",")
    if wrong := [one for one in words if one not in COLUMN]:
        raise CommandError(f"--by {wrong[0]}: expected {', '.join(COLUMN)} or none")
    kinds = available(opened)
    if of is not None and of not in kinds:
        raise CommandError(f"--of {of}: {opened.path} has {', '.join(kinds)}")
    found = outcomes(opened)
    if rows not in (None, "all") and found is None:
        raise CommandError(f"--rows {rows}: {opened.path} was not made by an attack and has no such rows")
    places = places_of(opened, where)
    groups = grouped(opened, places, tuple(dict.fromkeys(one for one in words if COLUMN[one] in opened)))
    outcome = None if found is None else found[places]
    return SelectedRows(opened, (of,) if of else kinds, rows or usual(opened, found), places, outcome, groups)


def available(opened: ImageSet) -> tuple[str, ...]:
    """The quantities that a file has values of."""
    if opened.signed:
        return ("perturbations",)
    return ("images", "originals", "perturbations") if "original" in opened else ("images",)


def places_of(opened: ImageSet, where: str | None) -> Array:
    """Places of the rows that `--where` keeps."""
    keep = np.ones(len(opened), bool)
    for piece in where.split(",") if where else ():
        word, _, text = piece.partition("=")
        column = COLUMN.get(word, word)
        if column not in (*COLUMN.values(), *WHERE) or column not in opened:
            raise CommandError(f"--where {piece}: {opened.path} has no {word!r}")
        values = opened.column(column)
        if word in COLUMN:
            if text not in opened.classes:
                raise CommandError(f"--where {piece}: {text!r} is no class of {opened.path}")
            keep &= values == opened.classes.index(text)
        else:
            try:
                keep &= np.isclose(values, float(fraction(text)), atol=1e-7)
            except (ValueError, OverflowError) as error:
                raise CommandError(f"--where {piece}: {error}") from None
        if not keep.any():
            raise CommandError(f"--where {where}: {opened.path} has no such row")
    return np.flatnonzero(keep)


def coded(opened: ImageSet, word: str, places: Array) -> tuple[list[str], Array]:
    """The possible names of a column, and the number of each row's name."""
    if word != "epsilon":
        return [*opened.classes, NONE], opened.column(COLUMN[word])[places] % (len(opened.classes) + 1)  # -1: the last
    if "epsilon" not in opened:
        return [NONE], np.zeros(len(places), np.int64)
    texts = (attack_of(opened.header) or {"epsilon": ()})["epsilon"]
    values, codes = np.unique(opened.column("epsilon")[places], return_inverse=True)  # in their order, NaN last
    known = {np.float32(float(fraction(text))): text for text in texts}
    return [NONE if np.isnan(one) else known.get(one, f"{one:.6g}") for one in values], codes


def grouped(opened: ImageSet, places: Array, by: tuple[str, ...]) -> Groups:
    """The group of every row: its budget and its classes. Empty groups are listed too, unless there are too many."""
    columns = [coded(opened, word, places) for word in ("epsilon", *by)]
    listed = [np.unique(columns[0][1])] + [_listed(codes, len(texts)) for texts, codes in columns[1:]]
    number = np.zeros(len(places), np.int64)
    for (_, codes), some in zip(columns, listed, strict=True):
        number = number * max(1, len(some)) + np.searchsorted(some, codes)
    names = [[texts[k] for k in some] or [NONE] for (texts, _), some in zip(columns, listed, strict=True)]
    if int(np.prod([len(one) for one in names], dtype=object)) <= MOST_GROUPS:
        return Groups(("epsilon", *by), list(itertools.product(*names)), number)
    present, number = np.unique(number, return_inverse=True)
    keys = [_key(int(one), names) for one in present]
    return Groups(("epsilon", *by), keys, number)


def _listed(codes: Array, count: int) -> Array:
    """All classes where a row has one, and none where a row has none."""
    none = count - 1
    classes = np.arange(none) if (codes != none).any() else np.arange(0)
    return np.append(classes, none) if (codes == none).any() or not len(classes) else classes


def _key(number: int, names: list[list[str]]) -> tuple[str, ...]:
    """The names for a number in mixed radix."""
    found = []
    for some in reversed(names):
        number, place = divmod(number, len(some))
        found.append(some[place])
    return tuple(reversed(found))
