"""A file of torch.save: a dictionary with tensors images (N, C, H, W) in [0, 1] and labels, or a pair of these.

Reads what `export -o NAME.pt` writes, and the names that a .npz may have. Nothing in the file is executed (weights_only=True).
"""

import os
from pathlib import Path

import numpy as np
from torch import Tensor

from advcli.catalog.registry import source
from advcli.datasets.npz import KNOWN, NAMES, Checked, as_dataset, checked_arrays
from advcli.errors import InputError
from advcli.files import sandbox
from advcli.images.dataset import Dataset
from advcli.networks.foreign_weights import check_stored, loaded
from advcli.numerics.arrays import Array

SUFFIXES = (".pt", ".pth")


@source(family="files", splits=("train", "val", "test"), where="path")
def pt(split: str, path: str) -> Dataset:
    content = sandbox.digest_of(path)
    sandbox.first_in_child(path, lambda: _checked(path, split), os.path.getsize(path), f"{content} {split}")
    return as_dataset(path, content, _checked(path, split))


def holds_images(path: str) -> bool:
    """True if the file holds images with their labels, and no weights."""
    sandbox.first_in_child(path, lambda: loaded(Path(path)), os.path.getsize(path), sandbox.digest_of(path))
    found = _named(loaded(Path(path)))
    return any(isinstance(found.get(x), Tensor) and isinstance(found.get(y), Tensor) for x, y in NAMES)


def _checked(path: str, split: str) -> Checked:
    """Images, labels, index, classes, split and kind, after all checks."""
    found = {name: one for name, one in _named(loaded(Path(path), "file of images")).items() if name in KNOWN}
    check_stored(Path(path), {name: one for name, one in found.items() if isinstance(one, Tensor)})
    return checked_arrays(path, split, {name: _array(path, name, one) for name, one in found.items()})


def _named(found: object) -> dict[str, object]:
    """The entries by name; a pair is images and labels."""
    if isinstance(found, tuple | list) and len(found) == 2:
        return {"images": found[0], "labels": found[1]}
    return {str(name): one for name, one in found.items()} if isinstance(found, dict) else {}


def _array(path: str, name: str, value: object) -> Array:
    """A tensor, a word or a list of words as an array."""
    if isinstance(value, Tensor):
        plain = value.detach().resolve_neg()
        try:
            return (plain.float() if plain.is_floating_point() else plain).numpy()
        except (TypeError, RuntimeError, NotImplementedError):
            raise InputError(f"{path}: {name} has type {value.dtype}; expected uint8 or float32, and int64 labels") from None
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(one, str) for one in words):
        raise InputError(f"{path}: {name} is {type(value).__name__}; expected a tensor, or names")
    return np.array(value)
