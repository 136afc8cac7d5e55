"""A data set in use: labels in memory, pictures on request, and a description for every header."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advcli.errors import CommandError, Empty, InputError
from advcli.numerics.arrays import Array
from advcli.numerics.rng import SampleRNG

VAL_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Dataset:
    """Images of one split of one source, or some of them."""

    name: str
    split: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    labels: Array  # (N,) index into classes
    index: Array  # (N,) position in the source split: what the draws of randomness depend on
    read: Callable[[Array], Tensor]  # positions in this set -> float32 pictures in [0, 1]
    origin: dict[str, Any]  # how the header names it
    eight_bit: bool = False
    kind: str = "clean"  # adversarial and filtered sets may hold one picture several times
    pixels: Tensor | None = None  # all of them, where they lie in memory: bytes, or numbers in [0, 1]
    packed: bool = False  # rows of one file that need no decoding: training takes them into memory

    @classmethod
    def of_bytes(
        cls, name: str, split: str, classes: tuple[str, ...], pixels: Tensor, labels: Array, index: Array, origin: dict[str, Any]
    ) -> "Dataset":
        """8-bit pictures in memory."""

        def read(places: Array) -> Tensor:
            return pixels[torch.from_numpy(places)].to(torch.float32) / 255

        shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
        return cls(name, split, classes, shape, labels, index, read, origin, eight_bit=True, pixels=pixels)

    def in_memory(self) -> "Dataset":
        """The same 8-bit pictures, read once and kept."""
        pixels = torch.empty(len(self), *self.shape, dtype=torch.uint8)
        for start in range(0, len(self), 1024):
            places = np.arange(start, min(start + 1024, len(self)))
            pixels[start : start + len(places)] = (self.read(places) * 255).round()
        return Dataset.of_bytes(self.name, self.split, self.classes, pixels, self.labels, self.index, self.origin)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Pictures and labels of consecutive images."""
        places = np.arange(start, min(stop, len(self)))
        return self.read(places), torch.from_numpy(self.labels[places])

    def rows(self, places: Array, **changes: Any) -> "Dataset":
        """Some of the images, in the order given."""
        read, labels, index = self.read, self.labels[places], self.index[places]
        pixels = None if self.pixels is None else self.pixels[torch.from_numpy(places)]
        changes = {"labels": labels, "index": index, **changes}
        return replace(self, **changes, pixels=pixels, read=lambda k: read(places[k]))

    def selected(self, classes: str | None, limit: int | None, per_class: int | None) -> "Dataset":
        """`--classes`, `--per-class` and `--limit`, in this order; each is recorded."""
        found = self._of_classes(classes) if classes else self
        if per_class:
            seen = np.zeros(len(found.classes) + 1, np.int64)
            keep = np.zeros(len(found), bool)
            for place, label in enumerate(found.labels):
                seen[label] += 1
                keep[place] = seen[label] <= per_class
            found = found.rows(np.flatnonzero(keep))
        if limit:
            found = found.rows(np.arange(min(limit, len(found))))
        given = {"classes": classes, "limit": limit, "per_class": per_class}
        if not len(found):
            raise Empty(f"{self.name}:{self.split}: no image is left to work on")
        return replace(found, origin={**self.origin, **{k: v for k, v in given.items() if v is not None}})

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

    def for_classes(self, classes: tuple[str, ...], whose: str) -> "Dataset":
        """The same images with labels that index the model's classes; sets meet models by name."""
        if strange := [one for one in self.classes if one not in classes]:
            raise InputError(
                f"{self.name}: its classes {', '.join(strange[:5])} are none of {whose}'s: {', '.join(classes[:12])}"
            )
        table = np.array([*(classes.index(one) for one in self.classes), -1], np.int64)
        return replace(self, labels=table[self.labels], classes=classes)


def stratified(labels: Array, count: int, purpose: str) -> Array:
    """(N,) mask of `count` images, every class in its share, by a rule that depends on nothing else.

    Shares are rounded by the largest remainder; within a class a counter-based draw decides.
    """
    drawn = SampleRNG(0, torch.arange(len(labels))).fork("split", purpose).bits(1)[:, 0].numpy()
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
    """Places of `train` (less val) or `val` (a tenth, stratified) in a source's training split."""
    val = stratified(labels, round(VAL_SHARE * len(labels)), f"{purpose}/val")
    return np.flatnonzero(val if split == "val" else ~val)
