"""A set checked against its source data: split, places, labels and images, and whether images were left out."""

import numpy as np

from advcli.evaluation.finding import BATCH, Finding
from advcli.files.header import Header
from advcli.files.imageset_reader import ImageSet
from advcli.images.dataset import Dataset
from advcli.numerics.arrays import Array

SELECTED = ("classes", "per_class", "limit", "part")


def named(opened: ImageSet) -> Header | None:
    """The header's description of the source data; a filtered set has it from its source."""
    header = opened.header["of"] if opened.kind == "filtered" else opened.header
    found = header["made"].get("data")
    return found if isinstance(found, dict) else None


def selected(whole: Dataset, said: Header) -> Dataset:
    """The source's images that the header selects."""
    classes, per_class, limit, part = (said.get(one) for one in SELECTED)
    texts = all(isinstance(one, str | None) for one in (classes, part))
    numbers = all(isinstance(one, int | None) for one in (per_class, limit))
    return whole.selected(classes, limit, per_class, part) if texts and numbers else whole


def selected_by_the_first_version(whole: Dataset, said: Header) -> Dataset | None:
    """The images of a limit when it took the first ones, whatever their classes; None if the header has no limit."""
    limit = said.get("limit")
    if not isinstance(limit, int):
        return None
    found = selected(whole, {**said, "limit": None})
    return found.rows(np.arange(min(limit, len(found))))


def is_of_the_first_version(opened: ImageSet) -> bool:
    """True if the header describes its victim by its weights alone, as the first version did."""
    header = opened.header["of"] if opened.kind == "filtered" else opened.header
    return "network" not in header.get("victim", {"network": None})


def check(opened: ImageSet, whole: Dataset, said: Header, finding: Finding) -> None:
    """Compare every image with its place in the source; `whole` is the complete split that the header names."""
    where, wanted = f"{whole.name}:{whole.split}", selected(whole, said)
    if opened.header["split"] != whole.split:
        finding.wrong.append(f"header: split is {opened.header['split']}, its images come from {where}")
    images = "originals" if "original" in opened else "images"
    rows = _first_rows(opened) if "original" in opened else np.arange(len(opened))
    if opened.shape != whole.shape:
        finding.wrong.append(f"its images have another shape than those of {where}")
        return
    index, labels = opened.column("index")[rows], opened.column("labels")[rows]
    places = _places(index, wanted)
    if (places < 0).any() and is_of_the_first_version(opened) and (first := selected_by_the_first_version(whole, said)):
        wanted, places = first, _places(index, first)
    if len(strange := np.flatnonzero(places < 0)):
        row = rows[strange[0]]
        finding.wrong.append(f"row {row}: image {index[strange[0]]} is none of those that the header takes of {where}")
    _labels(opened, labels, wanted, places, rows, finding)
    same = opened.kind != "filtered" or "originals" in opened
    if same:
        _pictures(opened, images, wanted, places, rows, finding)
    if missing := len(wanted) - len(np.unique(places[places >= 0])):
        finding.wrong.append(
            f"holds {len(wanted) - missing} of the {len(wanted)} images that its header takes of {where}; {missing} are left out"
        )
    taken = f", as its header says: {len(wanted)} of {len(whole)}" if len(wanted) < len(whole) else ", all of them"
    finding.checked.append(f"split, places, labels{' and images' * same} of {len(index)} images of {where}{taken}")


def _first_rows(opened: ImageSet) -> Array:
    """The first row of every original, by its number."""
    found: Array = np.unique(opened.column("original"), return_index=True)[1]
    return found


def _places(index: Array, wanted: Dataset) -> Array:
    """The position of each image in the source; -1 if it is not there. Versions of one image keep the source's order."""
    if len(np.unique(wanted.index)) < len(wanted):
        at = np.arange(len(index)).clip(max=len(wanted) - 1)
        return np.where((wanted.index[at] == index) & (np.arange(len(index)) < len(wanted)), at, -1)
    order = np.argsort(wanted.index, kind="stable")
    at = np.searchsorted(wanted.index[order], index).clip(max=max(0, len(wanted) - 1))
    return np.where(wanted.index[order][at] == index, order[at], -1)


def _labels(opened: ImageSet, labels: Array, wanted: Dataset, places: Array, rows: Array, finding: Finding) -> None:
    mine = np.array([*opened.classes, ""], object)[labels]
    theirs = np.array([*wanted.classes, ""], object)[wanted.labels[places]]
    for k in np.flatnonzero((places >= 0) & (mine != theirs)):
        finding.wrong.append(f"row {rows[k]}: is called {mine[k] or 'nothing'}, the source calls it {theirs[k] or 'nothing'}")


def _pictures(opened: ImageSet, images: str, wanted: Dataset, places: Array, rows: Array, finding: Finding) -> None:
    numbers = np.unique(opened.column("original")) if images == "originals" else rows
    for start in range(0, len(numbers), BATCH):
        part = slice(start, start + BATCH)
        known = places[part] >= 0
        mine = opened.pick(images, numbers[part][known])
        far = (mine - wanted.read(places[part][known])).abs().flatten(1).amax(1).numpy()
        for k in np.flatnonzero(far > 0):
            row = rows[part][known][k]
            finding.wrong.append(f"row {row}: its original differs from the source's image by up to {far[k]:.3g}")
