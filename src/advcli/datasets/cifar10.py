"""CIFAR-10: 32x32 colour photographs of ten classes, 50,000 to train on and 10,000 to test (Krizhevsky).

It is read from its binary version: records of one label byte and 3,072 pixel bytes. If that is missing, a folder cifar10/ of
class folders is read, as JPEG copies of the images come.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from advcli.catalog.registry import source
from advcli.datasets.folder import folder as class_folder
from advcli.errors import InputError
from advcli.files import sandbox
from advcli.images.dataset import Dataset, carve
from advcli.images.downloads import Library

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = {"train": [f"data_batch_{k}.bin" for k in range(1, 6)], "test": ["test_batch.bin"]}
RECORD, RECORDS = 1 + 3072, 10_000
ARCHIVE = ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")


def fetch(folder: Path) -> None:
    from torchvision.datasets.utils import download_and_extract_archive

    download_and_extract_archive(ARCHIVE[0], str(folder), md5=ARCHIVE[1])


@source(family="downloaded", splits=("train", "val", "test"), paper="Krizhevsky 2009")
def cifar10(split: str, library: Library) -> Dataset:
    found = library.find("cifar10", ("cifar-10-batches-bin", "cifar10"), fetch)
    if found.name == "cifar10":
        held = class_folder(split, path=str(found), called="cifar10").in_memory()
        return replace(held, name="cifar10", origin={"name": "cifar10", "split": split, "form": "pictures"})
    records = np.concatenate([_batch(found / name) for name in BATCHES["test" if split == "test" else "train"]])
    labels = records[:, 0].astype(np.int64)
    places = np.arange(len(labels)) if split == "test" else carve(labels, split, "cifar10")
    pixels = torch.from_numpy(records[places, 1:].reshape(-1, 3, 32, 32))
    return Dataset.of_bytes("cifar10", split, CLASSES, pixels, labels[places], places, {"name": "cifar10", "split": split})


def _batch(path: Path) -> np.ndarray:
    data = sandbox.read(path, most=RECORD * RECORDS)
    if len(data) != RECORD * RECORDS:
        raise InputError(f"{path}: {len(data)} bytes, expected {RECORD * RECORDS}; the file is cut short")
    records = np.frombuffer(data, np.uint8).reshape(RECORDS, RECORD)
    if (records[:, 0] >= len(CLASSES)).any():
        row = int(np.argmax(records[:, 0] >= len(CLASSES)))
        raise InputError(f"{path}: record {row}: label {records[row, 0]}, expected 0 to 9; not CIFAR-10's binary version")
    return records
