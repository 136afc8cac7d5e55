"""A folder of class folders, one image file for each image; or of image files alone, which then have no labels.

A folder with train/ and test/ (and val/) inside, which hold class folders, has those splits; a folder that is itself one
split beside others, or that is called test or val, is that split; otherwise the SHA-256 of its relative path puts every file
into train, val or test, 80/10/10. Grey images stay grey; if any image has colour, the set is colour. Image files that `export`
made of an adversarial set are known by the note beside them, as long as the note is copied with them. Labels from a CSV:
`datasets/csv.py`.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from advcli.catalog.registry import source
from advcli.errors import InputError
from advcli.images.dataset import Dataset, carve
from advcli.images.picture_files import UNNAMED, PictureFiles
from advcli.images.split_folders import (
    LABELS,
    SPLITS,
    called_like_a_split,
    folders_in,
    is_picture,
    share,
    splits_beside,
    splits_in,
)


def pictures_in(root: Path) -> list[tuple[str, str]]:
    """(class, file) of every image file, ordered by class and name; only names, since there may be millions."""
    found = []
    for name in folders_in(root):
        files = _pictures(root / name)
        if not files:
            raise InputError(f"{root / name}: no image files in this class folder; remove it or fill it")
        found += [(name, file) for file in files]
    if not found:
        raise InputError(
            f"{root}: no class folders with image files; expected {root}/CLASS/image.png, or {root}/labels.csv with columns "
            "file and label"
        )
    return found


def _pictures(root: Path) -> list[str]:
    return sorted(one for one in os.listdir(root) if is_picture(one))


def _where(root: Path, split: str, test: str) -> tuple[Path, str]:
    """The folder of a split, and how the split is taken there: whole, carved out of train, or by names."""
    held, here = splits_in(root, tuple(dict.fromkeys(("train", "val", test)))), None
    if not held:
        held, here = splits_beside(root), root.absolute().name
        if not held:
            return root, _alone(root, split)
    own_val = test != "val" and "val" in held
    part = {"test": test, "val": "val" if own_val else "train"}.get(split, split)
    if here and part != here:
        raise InputError(f"{root}: is the {here} split of {root.absolute().parent.name}/, and no {split} images are in it")
    if part not in held:
        raise InputError(f"{root}: has {' and '.join(f'{one}/' for one in held)} and no {part}/: choose with --split")
    return root if here else root / part, "whole" if own_val or split == "test" else "carve"


def _alone(root: Path, split: str) -> str:
    """How a folder without splits is taken: by names, or whole if it is called test or val."""
    own = called_like_a_split(root)
    if own is None:
        return "names"
    if own != split:
        raise InputError(
            f"{root}: a folder that is called {own} is a {own} set, and no {split} images are in it; give --split {own}, or "
            "rename it to have it split by the names of its files"
        )
    return "whole"


def _doubts(base: Path, names: tuple[str, ...]) -> list[str]:
    """Notes of what was perhaps meant otherwise: pictures beside the class folders, and classes that are called like a split."""
    found = []
    if loose := len(_pictures(base)):
        found.append(f"{base}: {loose} pictures lie beside its class folders; they are left out")
    if (base / LABELS).is_file():
        found.append(f"{base}: the names of its class folders are the labels; for those of {LABELS}: --data {base / LABELS}")
    if like := [name for name in names if name in SPLITS]:
        found.append(f"{base}: takes {like[0]}/ for a class, because it holds pictures; a split holds class folders")
    return found


@source(family="files", splits=("train", "val", "test"), where="path")
def folder(
    split: str,
    path: str,
    image_size: int | None = None,
    resize: int | None = None,
    called: str = "folder",
    test: str = "test",
    words: Mapping[str, str] | None = None,
) -> Dataset:
    """`called` names a known set that comes as a folder; `test` is its test folder, `words` are its class names."""
    root = Path(path)
    if not root.is_dir():
        raise InputError(f"{path}: no such folder")
    if not folders_in(root) and _pictures(root):
        return _unlabelled(root, split, (resize, image_size))
    base, how = _where(root, split, test)
    found = pictures_in(base)
    names = tuple(dict.fromkeys(name for name, _ in found))
    number = {name: k for k, name in enumerate(names)}
    labels, notes = np.array([number[name] for name, _ in found], np.int64), _doubts(base, names)
    if how == "names":
        places = np.flatnonzero([share(f"{name}/{file}") == split for name, file in found])
        notes.append(f"{path}: holds no splits; by their names {len(places)} of its {len(found)} pictures are its {split} split")
    else:
        places = carve(labels, split, called) if how == "carve" else np.arange(len(found))
    classes = tuple((words or {}).get(name, name) for name in names)
    pictures = PictureFiles(root, base, [f"{name}/{file}" for name, file in found], labels, classes)
    return pictures.dataset(split, places, (resize, image_size), {"name": called}, tuple(notes))


def _unlabelled(root: Path, split: str, sizes: tuple[int | None, int | None]) -> Dataset:
    """Pictures without labels, which can be attacked and not trained on."""
    if split != "test":
        raise InputError(
            f"{root}: its pictures have no labels, and no {split} images are in it; put them into class folders, or their "
            f"labels into {root}/labels.csv with columns file and label"
        )
    files = _pictures(root)
    note = f"{root}: its {len(files)} pictures have no labels; accuracy cannot be measured on them"
    pictures = PictureFiles(root, root, files, np.full(len(files), -1, np.int64), UNNAMED)
    return pictures.dataset(split, np.arange(len(files)), sizes, {"name": "folder"}, (note,))
