"""The structure of an image set: names, types, shapes and storage, checked before a row is read."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from advcli.errors import InputError
from advcli.files.header import parse
from advcli.files.imageset_writer import MAGIC

IMAGES = ("images", "originals")
COLUMNS = {
    "labels": np.dtype("<i8"),
    "index": np.dtype("<i8"),
    "original": np.dtype("<i8"),
    "target": np.dtype("<i8"),
    "epsilon": np.dtype("<f4"),
    "success": np.dtype("u1"),
    "prediction": np.dtype("<i8"),
    "clean_prediction": np.dtype("<i8"),
    "queries": np.dtype("<i8"),
    "gradients": np.dtype("<i8"),
    "stage": np.dtype("<i8"),
}
EVOLVED = {  # with the number of their dimensions
    "confidence": (np.dtype("<f4"), 2),
    "genome": (np.dtype("<i8"), 1),
    "genomes": (np.dtype("u1"), 1),
}
NEEDED = ("header", "images", "labels", "index")
DERIVED = ("target", "epsilon", "success", "prediction", "clean_prediction")
ATTACKED = ("originals", "original", *DERIVED, "queries", "gradients")
BESIDE = {"adversarial": ATTACKED, "perturbation": DERIVED, "universal": ("target", "epsilon")}
SAFE_FILTERS = {1, 2, 3}  # deflate, shuffle, fletcher32
SMALL = 1 << 26  # bytes that a dataset may declare however little it stores
MOST_PACKED = 100  # how much smaller than its images a larger compressed dataset may be
MOST_CHUNK = 1 << 26
MOST_HEADER = 1 << 22


def check(file: h5py.File, where: Path, size: int) -> None:
    """Check the structure of an open HDF5 file of `size` bytes; InputError names the fault."""
    mark = _mark(file)
    if mark != MAGIC:
        raise InputError(f"{where}: not an image set of advcli: its format is {mark!r}")
    declared = 0
    for name in file:
        link = file.get(name, getlink=True)
        if name not in COLUMNS and name not in (*IMAGES, *EVOLVED, "header"):
            raise InputError(f"{where}: /{name[:80]} is not a dataset of an image set")
        if not isinstance(link, h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
            raise InputError(f"{where}: /{name} is not stored in the file itself")
        declared += _dataset(name, file[name], where, size)
    if declared > SMALL + MOST_PACKED * size:
        raise InputError(f"{where}: declares {declared} bytes in a file of {size}: refused")
    kind = parse(bytes(file["header"][:]), str(where)).get("kind") if "header" in file else None
    for name in NEEDED + BESIDE.get(kind if isinstance(kind, str) else "", ()):
        if name not in file:
            raise InputError(f"{where}: /{name} is missing")
    rows = file["images"].shape[0]
    if "originals" in file and file["originals"].shape[1:] != file["images"].shape[1:]:
        raise InputError(f"{where}: /originals has images of another shape than /images")
    if 0 in file["images"].shape[1:]:
        raise InputError(f"{where}: /images holds images without pixels")
    for name in COLUMNS.keys() & file.keys():
        if file[name].shape != (rows,):
            raise InputError(f"{where}: /{name} has shape {file[name].shape}, expected ({rows},)")
    for name in {"confidence", "genome"} & file.keys():
        if file[name].shape[0] != rows:
            raise InputError(f"{where}: /{name} has {file[name].shape[0]} rows, expected {rows}")
    if ("genome" in file) != ("genomes" in file):
        raise InputError(f"{where}: /genome and /genomes are there only together")


def _mark(file: h5py.File) -> object:
    """The format attribute, if it is the short fixed-length text that we write; any other is not read."""
    if not h5py.h5a.exists(file.id, b"format"):
        return None
    mark = h5py.h5a.open(file.id, b"format")
    kind = mark.get_type()
    if not isinstance(kind, h5py.h5t.TypeStringID) or kind.is_variable_str() or kind.get_size() > 64 or mark.shape != ():
        return "of another type"
    text: Any = np.zeros((), kind.dtype)
    mark.read(text)
    return bytes(text)


def _dataset(name: str, data: h5py.Dataset, where: Path, size: int) -> int:
    """Check one dataset; returns the bytes that it declares."""
    plan = data.id.get_create_plist()
    filters = {plan.get_filter(k)[0] for k in range(plan.get_nfilters())}
    if data.is_virtual or plan.get_external_count() or not filters <= SAFE_FILTERS:
        raise InputError(f"{where}: /{name} uses external or virtual storage or an unknown filter: refused")
    if name == "header":
        fits = data.dtype == np.uint8 and data.ndim == 1
    elif name in IMAGES:
        fits = data.dtype in (np.uint8, np.dtype("<f4")) and data.ndim == 4
    elif name in EVOLVED:
        fits = (data.dtype, data.ndim) == EVOLVED[name]
    else:
        fits = data.dtype == COLUMNS[name]
    if not fits:
        raise InputError(
            f"{where}: /{name} has type {data.dtype} and shape {data.shape}: not that of an image set{_hint(name, data)}"
        )
    stored, declared = data.id.get_storage_size(), int(data.dtype.itemsize) * int(np.prod(data.shape, dtype=object))
    chunk = data.dtype.itemsize * int(np.prod(data.chunks or (), dtype=object))
    if chunk > MOST_CHUNK:
        raise InputError(f"{where}: /{name} is stored in chunks of {chunk} bytes: refused; up to {MOST_CHUNK} are read")
    packed = declared > SMALL and declared > MOST_PACKED * min(max(1, stored), size) if filters else declared > min(stored, size)
    if packed or (name == "header" and declared > MOST_HEADER):
        raise InputError(f"{where}: /{name} declares {declared} bytes and stores {min(stored, size)}: refused")
    return declared


def _hint(name: str, data: h5py.Dataset) -> str:
    """Advice for images in other tools' form."""
    if name in IMAGES and data.dtype == np.float64:
        return "; store float32"
    return "; give it four dimensions (N, C, H, W)" if name in IMAGES and data.ndim == 3 else ""
