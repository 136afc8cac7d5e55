"""A data set: labels in memory, images on demand, and a description for every header."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advcli.errors import CommandError, Empty, InputError
from advcli.numerics.arrays import Array
from advcli.numerics.rng import Purpose, SampleRNG

VAL_SHARE = 0.1
FOOLING = "fooling"  # the class of pictures made from nothing, of `train --fooling`: no data set has it


@dataclass(frozen=True, slots=True)
class Dataset:
    """Images of one split of one source, or some of them."""

    name: str
    split: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    labels: Array  # (N,) index into classes
    index: Array  # (N,) position in the source split: what the draws of randomness depend on
    read: Callable[[Array], Tensor]  # positions in this set -> float32 images in [0, 1]
    origin: dict[str, Any]  # how the header names it
    eight_bit: bool = False
    kind: str = "clean"  # adversarial and filtered sets may hold one image several times
    pixels: Tensor | None = None  # all of them, where they lie in memory: bytes, or numbers in [0, 1]
    packed: bool = False  # rows of one file that need no decoding: training takes them into memory
    notes: tuple[str, ...] = ()  # how these images were chosen, for people

    @classmethod
    def of_bytes(
        cls, name: str, split: str, classes: tuple[str, ...], pixels: Tensor, labels: Array, index: Array, origin: dict[str, Any]
    ) -> "Dataset":
        """A data set of 8-bit images in memory."""

        def read(places: Array) -> Tensor:
            return pixels[torch.from_numpy(places)].to(torch.float32) / 255

        shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
        return cls(name, split, classes, shape, labels, index, read, origin, eight_bit=True, pixels=pixels)

    def in_memory(self) -> "Dataset":
        """The same 8-bit images, read once and kept in memory."""
        pixels = torch.empty(len(self), *self.shape, dtype=torch.uint8)
        for start in range(0, len(self), 1024):
            places = np.arange(start, min(start + 1024, len(self)))
            pixels[start : start + len(places)] = (self.read(places) * 255).round()
        kept = Dataset.of_bytes(self.name, self.split, self.classes, pixels, self.labels, self.index, self.origin)
        return replace(kept, notes=self.notes)

    def __len__(self) -> int:
        return len(self.labels)

    def pictures(self, start: int, stop: int) -> Tensor:
        """Consecutive images."""
        return self.read(np.arange(start, min(stop, len(self))))

    def batch(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Images and labels of consecutive images."""
        return self.pictures(start, stop), torch.from_numpy(self.labels[start:stop])

    def rows(self, places: Array, **changes: Any) -> "Dataset":
        """Some of the images, in the given order."""
        read, labels, index = self.read, self.labels[places], self.index[places]
        pixels = None if self.pixels is None else self.pixels[torch.from_numpy(places)]
        changes = {"labels": labels, "index": index, **changes}
        return replace(self, **changes, pixels=pixels, read=lambda k: read(places[k]))

    def selected(self, classes: str | None, limit: int | None, per_class: int | None, part: str | None = None) -> "Dataset":
        """Apply `--classes`, `--part`, `--per-class` and `--limit`, in this order, and record each."""
        found = self
        if classes:
            found = self._of_classes(classes)
            kept = f"{self.name}:{self.split}: {len(found)} of {len(self)} images are of the classes {', '.join(found.classes)}"
            found = replace(found, notes=(*found.notes, kept))
        if part:
            whole, found = found, found.rows(dealt(found.labels, found.index, *part_of(part)))
            found = replace(found, notes=(*found.notes, found._shares(len(whole), f"part {part}")))
        if per_class:
            found = found.rows(np.flatnonzero(ranks(found.labels) < per_class))
        if limit and limit < len(found):
            whole, found = found, found.rows(spread(found.labels, limit))
            found = replace(found, notes=(*found.notes, found._shares(len(whole), "every class in proportion to its size")))
        given = {"classes": classes, "limit": limit, "per_class": per_class, "part": part}
        if not len(found):
            raise Empty(f"{self.name}:{self.split}: the selection leaves no image")
        return replace(found, origin={**self.origin, **{k: v for k, v in given.items() if v is not None}})

    def _shares(self, whole: int, how: str) -> str:
        """The number of images of every class under a limit or in a part, as text."""
        counts = np.unique(self.labels, return_counts=True)[1] if len(self) else np.zeros(1, np.int64)
        each = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
        of = f"{each} of each of {len(counts)} classes" if len(counts) > 1 else "of one class"
        return f"{self.name}:{self.split}: {len(self)} of {whole} images, {how}: {of}"

    def _of_classes(self, text: str) -> "Dataset":
        wanted = [one.strip() for one in text.split(",")]
        for one in wanted:
            if one not in self.classes:
                raise InputError(f"{self.name}: has no class {one!r}; it has {', '.join(self.classes)}")
        if len(set(wanted)) < len(wanted):
            raise CommandError(f"--classes {text}: names a class twice")
        number = {self.classes.index(one): k for k, one in enumerate(wanted)}
        places = np.flatnonzero(np.isin(self.labels, list(number)))
        labels = np.array([number[int(label)] for label in self.labels[places]], np.int64)
        return self.rows(places, labels=labels, classes=tuple(wanted))

    def of_model(self, classes: tuple[str, ...]) -> str | None:
        """The value of `--classes` for a model that knows only some of the classes; None if it knows them all."""
        classes = tuple(name for name in classes if name != FOOLING or name in self.classes)
        plain = all("," not in name and name.strip() == name for name in classes)
        return ",".join(classes) if classes and plain and set(classes) < set(self.classes) else None

    def for_classes(self, classes: tuple[str, ...], whose: str, advice: str = "") -> "Dataset":
        """The same images with labels that index the model's classes; classes are matched by name, if there are any labels."""
        if not (self.labels >= 0).any():
            return replace(self, classes=classes)
        if strange := [one for one in self.classes if one not in classes]:
            raise InputError(
                f"{self.name}: its classes {', '.join(strange[:5])} are none of {whose}'s: {', '.join(classes[:12])}{advice}"
            )
        table = np.array([*(classes.index(one) for one in self.classes), -1], np.int64)
        return replace(self, labels=table[self.labels], classes=classes)


def missing_classes(name: str, labels: Array, classes: Sequence[str], known: Sequence[str]) -> str | None:
    """A warning if the labelled images cover only some classes: the result says nothing about the others."""
    there = {classes[label] for label in np.unique(labels[labels >= 0])}
    missing = [one for one in known if one not in there and one != FOOLING]
    if not there or not missing:
        return None
    few = f"{', '.join(missing[:5])}{', ...' * (len(missing) > 5)}"
    return f"{name}: its images are of {len(there)} of {len(known)} classes; there is none of {few}"


def ranks(labels: Array) -> Array:
    """(N,) the number of earlier images of the same class."""
    order = np.argsort(labels, kind="stable")
    first = np.searchsorted(labels[order], labels[order])
    found = np.empty(len(labels), np.int64)
    found[order] = np.arange(len(labels)) - first
    return found


def spread(labels: Array, count: int) -> Array:
    """Places of `count` images, in order: the first of every class, every class in proportion to its size.

    The k-th image of n of its class (k = 0, 1, ...) gets the position (k + 1/2) / n, and the first `count` positions are taken
    (the method of Webster and Sainte-Lague): every share is rounded, and a larger count includes a smaller one.
    """
    _, which, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    turns = (ranks(labels) + 0.5) / sizes[which]
    return np.sort(np.argsort(turns, kind="stable")[:count])


PART = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})")


def part_of(text: str) -> tuple[int, int]:
    """K and N of `--part K/N`."""
    found = PART.fullmatch(text)
    number, count = map(int, found.groups()) if found else (1, 0)
    if number > count:
        raise CommandError(f"--part {text}: expected K/N, the K-th of N parts, such as 1/5")
    return number, count


def dealt(labels: Array, index: Array, number: int, count: int) -> Array:
    """Places of one of `count` parts, in order: the images of every class are dealt to the parts in turn.

    The turn goes on from class to class, so that the parts differ by one image in size, and by one in each class. All rows
    of one image, such as those of a sweep of budgets, are in one part.
    """
    first = np.sort(np.unique(index, return_index=True)[1])
    mine = first[np.argsort(labels[first], kind="stable")[number - 1 :: count]]
    return np.flatnonzero(np.isin(index, index[mine]))


def stratified(labels: Array, count: int, purpose: str) -> Array:
    """(N,) mask of `count` images, every class in proportion to its size, by a fixed rule.

    Shares are rounded by the largest remainder; within a class a counter-based draw decides.
    """
    drawn = SampleRNG(0, torch.arange(len(labels)), (Purpose.SPLIT, purpose)).bits(1)[:, 0].numpy()
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * count / max(1, len(labels))
    taken = np.floor(exact).astype(np.int64)
    for k in np.argsort(-(exact - taken), kind="stable")[: count - taken.sum()]:
        taken[k] += 1
    mask = np.zeros(len(labels), bool)
    for one, some in zip(classes, taken, strict=True):
        places = np.flatnonzero(labels == one)
        mask[places[np.argsort(drawn[places], kind="stable")[:some]]] = True
    return mask


def carve(labels: Array, split: str, purpose: str) -> Array:
    """Places of `train` (without val) or `val` (a tenth, stratified) in a source's training split."""
    val = stratified(labels, round(VAL_SHARE * len(labels)), f"{purpose}/val")
    return np.flatnonzero(val if split == "val" else ~val)
