"""Picture files in one folder, and a CSV that gives their labels: `--data photos/labels.csv`, or the folder that holds it.

The CSV's columns are file and label, and split if it states one. Files are named from the CSV's folder, or from the only folder
in it that has the first of them. A CSV that is called train, val or test is that split, and the CSV beside it that is called
like another split is the other one; one in a folder that is called test or val is that split; otherwise the SHA-256 of its
relative path puts every file into train, val or test, 80/10/10.
"""

import os
from pathlib import Path

import numpy as np

from advcli.catalog.registry import source
from advcli.errors import InputError
from advcli.images import labels_csv
from advcli.images.dataset import Dataset, carve
from advcli.images.labels_csv import Labelled
from advcli.images.picture_files import UNNAMED, PictureFiles
from advcli.images.split_folders import LABELS, SPLITS, called_like_a_split, folders_in, is_picture, share
from advcli.numerics.arrays import Array


@source(family="files", splits=("train", "val", "test"), where="path")
def csv(split: str, path: str, image_size: int | None = None, resize: int | None = None) -> Dataset:
    chosen, notes = _of_split(Path(path), split)
    root, found = chosen.parent, labels_csv.read(chosen)
    base = _base(root, found.files[0])
    _refuse_missing(chosen, base, found)
    classes = found.classes()
    number = {name: k for k, name in enumerate(classes)} | {"": -1}
    labels = np.array([number[one] for one in found.labels], np.int64)
    places, how = _places(chosen, found, labels, split)
    if left := _not_named(base, found):
        notes += (f"{chosen}: does not name {left} of the pictures in {base}; they are left out",)
    if missing := int((labels[places] < 0).sum()):
        notes += (f"{chosen}: gives {missing} of its {len(places)} {split} pictures no label",)
    if how:
        notes += (how,)
    origin = {"name": "folder", "labels": chosen.name}
    pictures = PictureFiles(root, base, found.files, labels, classes or UNNAMED, _names(chosen, base, found))
    return pictures.dataset(split, places, (resize, image_size), origin, notes)


def labels_of(root: Path) -> Path | None:
    """The CSV of a folder, if it holds one that is called labels.csv and no class folders; None otherwise."""
    path = root / LABELS
    return path if path.is_file() and len(folders_in(root)) < 2 else None


def names_of(path: Path) -> list[str]:
    """The CSV and the files that it names, from its folder: what identifies the data."""
    found = labels_csv.read(path)
    return _names(path, _base(path.parent, found.files[0]), found)


def _names(path: Path, base: Path, found: Labelled) -> list[str]:
    inside = os.path.relpath(base, path.parent)
    return [path.name, *(os.path.normpath(os.path.join(inside, file)) for file in found.files)]


def _of_split(path: Path, split: str) -> tuple[Path, tuple[str, ...]]:
    """The CSV of a split: the one that is named, or the one beside it that is called like the split."""
    own = path.stem.lower()
    wanted = "train" if split == "val" and not path.with_stem("val").exists() else split
    if own not in SPLITS or own == wanted:
        return path, ()
    other = path.with_stem(wanted)
    if not other.exists():
        raise InputError(f"{path}: is a {own} set, and there is no {other} beside it; give --split {own}, or --data")
    return other, (f"{path}: is the {own} split; its {split} split is {other}",)


def _base(root: Path, first: str) -> Path:
    """The folder that the files are named from."""
    if not (root / first).is_file():
        inside = [root / name for name in folders_in(root) if (root / name / first).is_file()]
        if len(inside) == 1:
            return inside[0]
    return root


def _refuse_missing(path: Path, base: Path, found: Labelled) -> None:
    """Refuse files that are not there, or that are no pictures by their names."""
    for file, line in found.lines.items():
        if not is_picture(os.path.basename(file)):
            raise InputError(f"{path}, line {line}: {file} has no ending of an image file, such as .jpg or .png")
    absent = [file for file in found.files if not os.path.isfile(os.path.join(base, file))]
    if absent:
        more = f"; {len(absent)} of its {len(found.files)} files are missing" * (len(absent) > 1)
        raise InputError(f"{path}, line {found.lines[absent[0]]}: there is no {base / absent[0]}{more}")


def _not_named(base: Path, found: Labelled) -> int:
    """How many pictures below the folder have no row."""
    known, left = set(found.files), 0
    for folder, _, files in os.walk(base):
        inside = os.path.relpath(folder, base)
        left += sum(is_picture(one) and os.path.normpath(os.path.join(inside, one)) not in known for one in files)
    return left


def _places(path: Path, found: Labelled, labels: Array, split: str) -> tuple[Array, str]:
    """The rows of a split, and a note where the names of the files decided."""
    stated = np.array(found.splits)
    if found.splits[0]:
        if split == "val" and not (stated == "val").any():
            return _carved(np.flatnonzero(stated == "train"), labels, split), ""
        places = np.flatnonzero(stated == split)
        carves = split == "train" and not (stated == "val").any()
        return (_carved(places, labels, split) if carves else places), ""
    own = path.stem.lower() if path.stem.lower() in SPLITS else called_like_a_split(path.parent)
    whole = np.arange(len(labels))
    if own is None:
        places = np.flatnonzero([share(file) == split for file in found.files])
        return (
            places,
            f"{path}: states no splits; by their names {len(places)} of its {len(whole)} pictures are its {split} split",
        )
    if own != "train" and own != split:
        raise InputError(
            f"{path}: is a {own} set by its name or its folder's, and no {split} images are in it; give --split {own}"
        )
    carves = own == "train" and not path.with_stem("val").exists()
    return (_carved(whole, labels, split) if carves else whole), ""


def _carved(places: Array, labels: Array, split: str) -> Array:
    """Training images without a tenth for validation, or that tenth."""
    return places[carve(labels[places], split, "csv")]
