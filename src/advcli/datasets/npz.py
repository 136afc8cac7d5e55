"""A NumPy archive: images (N, C, H, W) or (N, H, W), bytes or numbers in [0, 1], and labels.

Reads images and labels (what `export` writes), x and y, data and labels, or x_train, y_train, x_test, y_test; `classes`
names the classes, `index` the places in the source, `split` the split, `kind` whether they are clean. Object arrays are
pickles and are never loaded.
"""

import contextlib
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from advcli.catalog.registry import source
from advcli.errors import InputError
from advcli.files import header_schema, sandbox
from advcli.images.dataset import Dataset, carve
from advcli.images.picture_origin import KINDS
from advcli.numerics.arrays import Array

NAMES = (("images", "labels"), ("x", "y"), ("data", "labels"), ("arr_0", "arr_1"))
ATTACKED = {"original", "clean_prediction", "target", "epsilon"}  # arrays of adversarial sets alone
WORDS = {"classes", "index", "split", "kind"}
KNOWN = {name for pair in NAMES for name in pair} | {"x_train", "y_train", "x_test", "y_test"} | WORDS | ATTACKED
SMALL, MOST_PACKED = 1 << 26, 20

Checked = tuple[Array, Array, Array, tuple[str, ...], str, str]  # images, labels, index, classes, split and kind


@source(family="files", splits=("train", "val", "test"), where="path")
def npz(split: str, path: str) -> Dataset:
    content, names = sandbox.digest_of(path), _listed(path)
    declared = sum(names.values())
    sandbox.first_in_child(path, lambda: _checked(path, split, list(names)), declared, f"{content} {split}")
    found = _checked(path, split, list(names))
    _, labels, _, _, own, _ = found
    return as_dataset(path, content, found, carve(labels, own, "npz") if own != "test" and "x_train" in names else None)


def as_dataset(path: str, content: str, checked: Checked, chosen: Array | None = None) -> Dataset:
    """The checked arrays of a file with that digest, or some of their rows."""
    images, labels, index, classes, own, kind = checked
    places = np.arange(len(labels)) if chosen is None else chosen
    pixels, shape = torch.from_numpy(images[places]), (images.shape[1], images.shape[2], images.shape[3])
    origin = {"name": "file", "split": own, "digest": content}
    if images.dtype == np.uint8:
        found = Dataset.of_bytes(Path(path).name, own, classes, pixels, labels[places], index[places], origin)
        return replace(found, kind=kind)

    def read(wanted: Array) -> Tensor:
        return pixels[torch.from_numpy(wanted)]

    return Dataset(Path(path).name, own, classes, shape, labels[places], index[places], read, origin, kind=kind, pixels=pixels)


def _checked(path: str, split: str, names: list[str]) -> Checked:
    """The arrays of an archive after all checks."""
    with _explained(path), sandbox.regular(path) as file:
        archive = np.load(file, allow_pickle=False)
        arrays = {name: archive[name] for name in names}
        if strange := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"{strange[0]} is no array")
    return checked_arrays(path, split, arrays)


def checked_arrays(path: str, split: str, arrays: dict[str, Array]) -> Checked:
    """The arrays of a file under their usual names; InputError names what does not belong there."""
    _refuse_broken_text(path, arrays)
    classes = tuple(str(one) for one in arrays["classes"].reshape(-1)) if "classes" in arrays else None
    own = split or "test"
    found: dict[str, Array | None] = dict(arrays)
    if "x_train" in arrays:
        part = "test" if own == "test" else "train"
        found = {"x": arrays.get(f"x_{part}"), "y": arrays.get(f"y_{part}")}
    elif "split" in arrays:
        said = str(arrays["split"])
        if said not in ("train", "val", "test") or (split and said != split):
            raise InputError(f"{path}: holds images of the {said[:20]} split, not of {split}")
        own = said
    pair = next(((x, y) for x, y in NAMES if found.get(x) is not None), None)
    if pair is None:
        raise InputError(f"{path}: has no images; expected images and labels, x and y, or x_train, y_train, x_test, y_test")
    images = checked_images(path, pair[0], np.asarray(found[pair[0]]))
    labels = found.get(pair[1])
    labels = np.full(len(images), -1) if labels is None else labels
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise InputError(
            f"{path}: {pair[1]} has type {labels.dtype} and shape {labels.shape}, expected {len(images)} whole numbers"
        )
    labels = labels.astype(np.int64)
    count = len(classes) if classes else max(2, int(labels.max(initial=-1)) + 1)
    classes = classes or tuple(str(k) for k in range(min(count, 100_000)))
    header_schema.classes(list(classes), path)
    check_labels(path, pair[1], labels, len(classes))
    index = arrays.get("index", np.arange(len(images)))
    if index.shape != (len(images),) or index.dtype.kind not in "iu":
        raise InputError(f"{path}: index has type {index.dtype} and shape {index.shape}, expected {len(images)} whole numbers")
    said = str(arrays["kind"])[:20] if "kind" in arrays else "clean"
    if said == "clean" and arrays.keys() & ATTACKED:
        said = "adversarial"  # what an older `export` wrote of such a set
    return images, labels, index.astype(np.int64), classes, own, said if said in KINDS else "unknown"


def _refuse_broken_text(path: str, arrays: dict[str, Array]) -> None:
    """Refuse numbers that are no characters: NumPy keeps them, and Python's text cannot."""
    for name, array in arrays.items():
        if array.dtype.kind == "U":
            codes = np.frombuffer(array.tobytes(), np.dtype("u4").newbyteorder(array.dtype.byteorder))
            if int(codes.max(initial=0)) > sys.maxunicode:
                raise InputError(f"{path}: {name} holds broken text; the file is damaged")


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds for a damaged archive
        raise InputError(f"{path}: not a .npz of plain arrays, or a damaged one ({str(error)[:80]})") from None


def _listed(path: str) -> dict[str, int]:
    """The arrays to read and their sizes, after a check that unpacking them does not exceed the limits."""
    with _explained(path), sandbox.regular(path) as file, zipfile.ZipFile(file) as archive:
        found = {one.filename.removesuffix(".npy"): one.file_size for one in archive.infolist()}
        size = file.seek(0, 2)
    wanted = {name: found[name] for name in found if name in KNOWN}
    if sum(wanted.values()) > SMALL + MOST_PACKED * size:
        raise InputError(f"{path}: declares {sum(wanted.values())} bytes in a file of {size}: refused")
    return wanted


def checked_images(path: str, name: str, found: Array) -> Array:
    """(N, C, H, W), bytes or float32 in [0, 1]."""
    if found.ndim == 3:
        found = found[:, None]
    if found.ndim != 4 or 0 in found.shape[1:]:
        raise InputError(f"{path}: {name} has shape {found.shape}; expected (N, C, H, W)")
    if found.shape[3] in (1, 3) and found.shape[1] not in (1, 3):
        raise InputError(f"{path}: {name} has shape {found.shape}, channels last; expected (N, C, H, W): x.transpose(0, 3, 1, 2)")
    if found.dtype == np.uint8:
        return found
    if found.dtype.kind != "f":
        raise InputError(f"{path}: {name} has type {found.dtype}; expected bytes (uint8), or float32 in [0, 1]")
    found = found.astype(np.float32, copy=False)
    bad = ~((found >= 0) & (found <= 1)).all((1, 2, 3))  # not-a-number is neither
    if bad.any():
        row = int(np.argmax(bad))
        low, high = found[row].min(), found[row].max()
        hint = "; divide by 255" if low >= 0 and 1 < high <= 255 else ""
        raise InputError(f"{path}: {name}, row {row}: pixels run from {low:g} to {high:g}, expected 0 to 1{hint}")
    return found


def check_labels(path: str, name: str, labels: Array, count: int) -> None:
    """Every label is a class, or -1 for none."""
    bad = np.flatnonzero((labels < -1) | (labels >= count))
    if len(bad):
        value = int(labels[bad[0]])
        hint = "; -100 is torch's word for no label, -1 is ours" if value == -100 else ""
        raise InputError(f"{path}: {name}, row {bad[0]}: {value}, expected -1 to {count - 1} ({count} classes){hint}")
