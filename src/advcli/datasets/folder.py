"""A folder of class folders, one image file for each image.

A folder with train/ and test/ (and val/) inside, which hold class folders, has those splits; a folder that is itself one
split beside others is that split; otherwise the SHA-256 of its relative path puts every file into train, val or test,
80/10/10. Grey images stay grey; if any image has colour, the set is colour. Image files that `export` made of an adversarial
set are known by the note beside them, as long as the note is copied with them.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advcli.catalog.registry import source
from advcli.errors import Empty, InputError
from advcli.images.dataset import Dataset, carve
from advcli.images.decoder import decode, mode_of
from advcli.images.folder_digest import digests
from advcli.images.picture_origin import kind_of
from advcli.images.split_folders import folders_in, is_picture, splits_beside, splits_in
from advcli.numerics.arrays import Array


def pictures_in(root: Path) -> list[tuple[str, str]]:
    """(class, file) of every image file, ordered by class and name; only names, since there may be millions."""
    found = []
    for name in folders_in(root):
        files = sorted(one for one in os.listdir(root / name) if is_picture(one))
        if not files:
            raise InputError(f"{root / name}: no image files in this class folder; remove it or fill it")
        found += [(name, file) for file in files]
    if not found:
        raise InputError(f"{root}: no class folders with image files; expected {root}/CLASS/image.png")
    return found


def share(relative: str) -> str:
    """train, val or test by the path alone, 80/10/10."""
    tenth = int.from_bytes(hashlib.sha256(relative.encode()).digest()[:8], "big") % 10
    return "test" if tenth == 9 else "val" if tenth == 8 else "train"


def _where(root: Path, split: str, test: str) -> tuple[Path, str]:
    """The folder of a split, and how the split is taken there: whole, carved out of train, or by names."""
    held, here = splits_in(root, tuple(dict.fromkeys(("train", "val", test)))), None
    if not held:
        held, here = splits_beside(root), root.absolute().name
        if not held:
            return root, "names"
    own_val = test != "val" and "val" in held
    part = {"test": test, "val": "val" if own_val else "train"}.get(split, split)
    if here and part != here:
        raise InputError(f"{root}: is the {here} split of {root.absolute().parent.name}/, and no {split} images are in it")
    if part not in held:
        raise InputError(f"{root}: has {' and '.join(f'{one}/' for one in held)} and no {part}/: choose with --split")
    return root if here else root / part, "whole" if own_val or split == "test" else "carve"


class _Files:
    """Full paths of the image files, made on demand."""

    def __init__(self, base: Path, found: list[tuple[str, str]]) -> None:
        self.base, self.found = str(base), found

    def __getitem__(self, k: int) -> str:
        return os.path.join(self.base, *self.found[k])


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
    base, how = _where(root, split, test)
    found = pictures_in(base)
    names = tuple(dict.fromkeys(name for name, _ in found))
    number = {name: k for k, name in enumerate(names)}
    labels, notes = np.array([number[name] for name, _ in found], np.int64), list[str]()
    if how == "names":
        places = np.flatnonzero([share(f"{name}/{file}") == split for name, file in found])
        notes.append(f"{path}: holds no splits; by their names {len(places)} of its {len(found)} pictures are its {split} split")
    else:
        places = carve(labels, split, called) if how == "carve" else np.arange(len(found))
    mode = mode_of(str(base / name / file) for name, file in found)
    if not len(places):
        raise Empty(f"{path}: no picture falls into the {split} split; it has {len(found)} in all")
    files = _Files(base, [found[k] for k in places])
    shape = decode([files[0]], mode, (resize, image_size), None)[0].shape

    def read(wanted: Array) -> Tensor:
        pictures = decode([files[k] for k in wanted], mode, (resize, image_size), shape)
        for k, one in zip(wanted, pictures, strict=True):
            if one.shape != shape:
                raise InputError(
                    f"{files[k]}: {one.shape[2]}x{one.shape[1]} pixels, others have {shape[2]}x{shape[1]}; give --image-size N"
                )
        stacked = np.stack(pictures) if pictures else np.zeros((0, *shape), np.uint8)
        return torch.from_numpy(stacked).to(torch.float32) / 255

    classes = tuple((words or {}).get(name, name) for name in names)
    origin: dict[str, Any] = {"name": called, "split": split, "image_size": image_size, "resize": resize}
    if called == "folder":
        origin["digest"], origin["listing"] = digests(root)
    kind, labels = kind_of(root, base), labels[places]
    return Dataset(root.name, split, classes, shape, labels, places, read, origin, eight_bit=True, kind=kind, notes=tuple(notes))
