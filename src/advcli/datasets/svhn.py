"""SVHN: 32x32 colour images of house numbers, 73,257 to train on and 26,032 to test (Netzer et al.).

SciPy reads its MATLAB files after their published checksums are verified; the label 10 means the digit 0.
"""

import hashlib
import io
from pathlib import Path

import numpy as np
import scipy.io
import torch

from advcli.catalog.registry import source
from advcli.errors import Damaged
from advcli.files import sandbox
from advcli.images.dataset import Dataset, carve
from advcli.images.downloads import Library

MD5 = {"train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373", "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3"}


def fetch(folder: Path) -> None:
    from torchvision.datasets import SVHN

    for split in ("train", "test"):
        SVHN(str(folder / "svhn"), split=split, download=True)


@source(family="downloaded", splits=("train", "val", "test"), paper="Netzer et al. 2011")
def svhn(split: str, library: Library) -> Dataset:
    name = f"{'test' if split == 'test' else 'train'}_32x32.mat"
    path = library.find("svhn", (f"svhn/{name}", name), fetch)
    data = sandbox.read(path)
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != MD5[name]:
        raise Damaged(f"{path}: its MD5 is not the published one; the file was changed or damaged")
    found = scipy.io.loadmat(io.BytesIO(data), variable_names=["X", "y"])  # type: ignore[arg-type]  # takes open files too
    labels = found["y"].reshape(-1).astype(np.int64) % 10
    places = np.arange(len(labels)) if split == "test" else carve(labels, split, "svhn")
    pixels = torch.from_numpy(np.ascontiguousarray(found["X"].transpose(3, 2, 0, 1)[places]))
    return Dataset.of_bytes("svhn", split, tuple("0123456789"), pixels, labels[places], places, {"name": "svhn", "split": split})
