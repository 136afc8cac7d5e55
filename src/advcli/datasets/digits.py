"""Handwritten digits, 8x8 pixels of 17 grey levels, embedded: 1,797 images, 1,297 to train on and 500 to test.

The test part of Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, UCI, CC BY 4.0), as scikit-learn
distributes it; pixel / 16. They are stored in digits.png, forty in a row.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from advcli.catalog.registry import source
from advcli.images.dataset import Dataset, carve, stratified
from advcli.numerics.arrays import Array

SHEET = Path(__file__).with_name("digits.png")
TEST = 500


@cache
def everything() -> tuple[Array, Array]:
    """All images in [0, 1] and their labels, in the published order."""
    with Image.open(SHEET) as sheet:
        labels = np.array([int(one) for one in sheet.info["labels"]], np.int64)
        tiles = np.asarray(sheet).reshape(45, 8, 40, 8).transpose(0, 2, 1, 3).reshape(-1, 1, 8, 8)
    return (tiles[: len(labels)] // 15).astype(np.float32) / 16, labels


@source(family="embedded", splits=("train", "val", "test"), where="package", paper="doi:10.24432/C50P49")
def digits(split: str) -> Dataset:
    images, labels = everything()
    test = stratified(labels, TEST, "digits/test")
    places = np.flatnonzero(test)
    if split != "test":
        train = np.flatnonzero(~test)
        places = train[carve(labels[train], split, "digits")]
    pictures = torch.from_numpy(images[places])
    return Dataset(
        name="digits",
        split=split,
        classes=tuple("0123456789"),
        shape=(1, 8, 8),
        labels=labels[places],
        index=places,
        read=lambda k: pictures[torch.from_numpy(k)],
        origin={"name": "digits", "split": split},
        pixels=pictures,
    )
