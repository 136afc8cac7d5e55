"""Fooling pictures as one more class of the training images: what no class should be recognised in."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from advcli.catalog.requests import TrainRequest
from advcli.datasets.imageset import of_set
from advcli.errors import InputError
from advcli.files.header import from_nothing
from advcli.files.imageset_reader import ImageSet
from advcli.images.dataset import FOOLING, Dataset
from advcli.images.joined import joined
from advcli.runtime.reporter import Reporter


def with_fooling(images: Dataset, asked: TrainRequest, reporter: Reporter) -> Dataset:
    """The images, and after them those of every --fooling, in a class of their own."""
    if not asked.fooling:
        return images
    if FOOLING in images.classes:
        raise InputError(f"--fooling: {images.name} has a class {FOOLING} of its own")
    wider = replace(images, classes=(*images.classes, FOOLING))
    found = [_opened(path, wider) for path in asked.fooling]
    for path, one in zip(asked.fooling, found, strict=True):
        reporter.note(f"{path}: {len(one)} pictures of the class {FOOLING} beside the {len(images)} images of {images.name}")
    return joined(wider, found)


def _opened(path: str, images: Dataset) -> Dataset:
    """The pictures of one set, which come from no image of any split."""
    if not Path(path).is_file():
        raise InputError(f"--fooling {path}: no such file")
    opened = ImageSet(Path(path))
    if opened.kind != "adversarial" or not from_nothing(opened.header):
        raise InputError(
            f"{path}: holds {opened.kind} images that were made from others; --fooling takes pictures made from nothing:\n"
            "advcli attack --method fool-gradient, or fool-evolve"
        )
    found = of_set(opened, "")
    if not len(found):
        raise InputError(f"{path}: holds no picture")
    if found.shape != images.shape:
        have, want = ("x".join(map(str, shape)) for shape in (found.shape, images.shape))
        raise InputError(f"{path}: pictures are {have} (channels, height, width), those of {images.name} {want}")
    number = images.classes.index(FOOLING)
    return replace(found, split=images.split, classes=images.classes, labels=np.full(len(found), number, np.int64))
