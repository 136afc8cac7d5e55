"""Checks that every row of a set occurs once and none is missing: otherwise a figure counts an image twice or leaves one out.

Rows differ by original, target and budget; originals by their place in the source (/index), and nearly all of them by
their pixels. If the attacked images came from an image-set file, several originals may be versions of one image:
figures then count the image once.
"""

import hashlib
from collections.abc import Iterator

import numpy as np

from advcli.files.header import Header, from_nothing
from advcli.files.imageset_reader import ImageSet
from advcli.numerics.arrays import Array

SAME = 0.05  # share of images that may stand twice: real sources hold a few


def faults(opened: ImageSet) -> Iterator[str]:
    """The faults of the rows as text, each with the first row that shows it."""
    header: Header = opened.header["of"] if opened.kind == "filtered" else opened.header
    versions = (header["made"].get("data") or {}).get("name") == "file" and "target" in opened
    yield from _attacked(opened, header, versions=versions) if "original" in opened else _plain(opened, versions=versions)
    if not versions and not opened.signed and not from_nothing(header):
        yield from _same_pictures(opened)


def _plain(opened: ImageSet, *, versions: bool) -> Iterator[str]:
    """Rows without originals: clean images, perturbations."""
    index = opened.column("index")
    beside = [_bits(opened, name) for name in ("target", "epsilon") if name in opened]
    if not versions and (pair := twice(index, *beside)):
        yield f"row {pair[1]} has the same image as row {pair[0]} (index {index[pair[0]]}); a figure would count it twice"


def _attacked(opened: ImageSet, header: Header, *, versions: bool) -> Iterator[str]:
    """Rows of an adversarial set, and their originals."""
    original, index = opened.column("original"), opened.column("index")
    if pair := twice(original, opened.column("target"), _bits(opened, "epsilon")):
        yield f"row {pair[1]} repeats row {pair[0]} (same original, target and budget); a figure would count it twice"
    number, first, place = np.unique(original, return_index=True, return_inverse=True)
    for name in ("index", "labels", "clean_prediction"):
        column = opened.column(name)
        if len(differs := np.flatnonzero(column != column[first][place])):
            row = int(differs[0])
            other = first[place[row]]
            yield f"row {row} gives original {original[row]} the /{name} {column[row]}, row {other} gives it {column[other]}"
    if not versions and (pair := twice(index[first])):
        a, b = (int(first[one]) for one in pair)
        yield (
            f"row {b} has the same image as row {a} (index {index[a]}) under another original ({original[b]}, {original[a]}); "
            "a figure would count it twice"
        )
    yield from _missing(opened, header, number, np.bincount(place, minlength=len(number)))


def _same_pictures(opened: ImageSet) -> Iterator[str]:
    """Many images that repeat under other places in the source; a few repetitions occur in real sources."""
    name = "originals" if "originals" in opened else "images"
    seen: dict[bytes, int] = {}
    again: list[tuple[int, int]] = []
    for start, stop in opened.spans(name):
        for number, pixels in enumerate(opened.rows(name, start, stop), start):
            first = seen.setdefault(hashlib.blake2b(pixels.numpy().tobytes(), digest_size=16).digest(), number)
            again += [(first, number)] if first != number else []
    total = opened.kept(name)[1][0]
    if len(again) > max(1, SAME * total):
        one = "original" if name == "originals" else "row"
        yield f"{one} {again[0][1]} has the same pixels as {one} {again[0][0]}; {len(again)} of {total} images are repeated"


def _missing(opened: ImageSet, header: Header, number: Array, counts: Array) -> Iterator[str]:
    """Originals that have fewer rows than budgets and targets, or none."""
    budgets, wanted = max(1, len(header["epsilon"])), 1
    if not from_nothing(header):
        rule = str(header["made"]["options"].get("target"))
        wanted = {"all": len(header["classes"]), "other": len(header["classes"]) - 1}.get(rule, 1)
    held, expected = opened.kept("originals")[1][0], budgets * wanted
    without = np.setdiff1d(np.arange(held), number)
    if len(without):
        yield f"original {without[0]} has no row ({len(without)} of {held} originals have none); rows were left out"
    if len(odd := np.flatnonzero(counts != expected)):
        yield (
            f"original {number[odd[0]]} has {counts[odd[0]]} rows, expected {expected} ({budgets} budgets, {wanted} targets; "
            f"{len(odd)} of {held} originals have another number)"
        )


def _bits(opened: ImageSet, name: str) -> Array:
    """A column as whole numbers; equal budgets have equal bits, and so has NaN, which stands for none."""
    found = opened.column(name)
    return np.where(np.isnan(found), np.float32(np.nan), found).view(np.int32) if name == "epsilon" else found


def twice(*columns: Array) -> tuple[int, int] | None:
    """(first, again) of the first row that equals an earlier one in all columns."""
    order = np.lexsort(columns[::-1])  # stable: among equal rows the earlier goes first
    same = np.logical_and.reduce([one[order][1:] == one[order][:-1] for one in columns])
    again = order[1:][same]
    if not len(again):
        return None
    row = int(again.min())
    first = np.logical_and.reduce([one == one[row] for one in columns])
    return int(np.argmax(first)), row
