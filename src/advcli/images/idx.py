"""IDX, the format of MNIST and its relatives: two zero bytes, a type, the number of dimensions, their sizes, the data."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import torch

from advcli.errors import InputError
from advcli.files import sandbox
from advcli.images.dataset import Dataset, carve
from advcli.numerics.arrays import Array

BYTES = 0x08
LARGEST = 1 << 30


def read(path: Path, shape: tuple[int, ...]) -> Array:
    """The bytes of a file, which must have this shape; gzip is supported."""
    try:
        with sandbox.regular(path) as file:
            data = gzip.GzipFile(fileobj=file).read(LARGEST) if path.suffix == ".gz" else file.read(LARGEST)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: a damaged gzip file ({error})") from None
    head = 4 + 4 * len(shape)
    if len(data) < head or data[:4] != bytes([0, 0, BYTES, len(shape)]):
        raise InputError(
            f"{path}: not an IDX file of the expected kind (magic number {data[:4].hex()}, expected 0000080{len(shape)})"
        )
    found = struct.unpack(f">{len(shape)}I", data[4:head])
    if found != shape:
        raise InputError(f"{path}: holds {'x'.join(map(str, found))} bytes, expected {'x'.join(map(str, shape))}")
    if len(data) != head + int(np.prod(shape)):
        raise InputError(f"{path}: {len(data)} bytes, expected {head + int(np.prod(shape))}; the file is cut short or too long")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def digits_like(name: str, folder: Path, split: str, counts: dict[str, int], classes: tuple[str, ...]) -> Dataset:
    """A data set in MNIST's four files: 28x28 grey images; a tenth of the training split is validation."""
    part, stem = ("test", "t10k") if split == "test" else ("train", "train")
    images = read(_plain_or_packed(folder, f"{stem}-images-idx3-ubyte"), (counts[part], 28, 28))
    labels = read(_plain_or_packed(folder, f"{stem}-labels-idx1-ubyte"), (counts[part],)).astype(np.int64)
    if len(labels) and labels.max() >= len(classes):
        row = int(np.argmax(labels >= len(classes)))
        raise InputError(f"{folder}: {stem} labels, row {row}: {labels[row]}, expected 0 to {len(classes) - 1}")
    places = np.arange(len(labels)) if split == "test" else carve(labels, split, name)
    pixels = torch.from_numpy(images[:, None][places])
    return Dataset.of_bytes(name, split, classes, pixels, labels[places], places, {"name": name, "split": split})


def _plain_or_packed(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).exists() else folder / f"{name}.gz"
