"""Adversarial sets as training images beside the data: only of its own training split, with the labels that it states."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from advcli.catalog.requests import TrainRequest
from advcli.datasets.imageset import of_set
from advcli.errors import InputError
from advcli.files.header import Header
from advcli.files.imageset_reader import ImageSet
from advcli.images.dataset import Dataset
from advcli.images.joined import joined
from advcli.runtime.reporter import Reporter
from advcli.workspace import inputs

SELECTION = ("classes", "limit", "per_class", "part")


def with_adversarial(images: Dataset, asked: TrainRequest, reporter: Reporter) -> Dataset:
    """The images, and after them those of every --augment-adv."""
    if not asked.augment_adv:
        return images
    whole = inputs.open_data(asked.data, None, replace(asked, limit=None, per_class=None))
    found = [_opened(path, images, whole) for path in asked.augment_adv]
    for path, one in zip(asked.augment_adv, found, strict=True):
        reporter.note(f"{path}: {len(one)} adversarial images beside the {len(images)} of {images.name}")
    return joined(images, found)


def _opened(path: str, images: Dataset, whole: Dataset) -> Dataset:
    """The images of one set, all of which were made from images of the training split `whole`."""
    if not Path(path).is_file():
        raise InputError(f"--augment-adv {path}: no such file")
    opened = ImageSet(Path(path))
    if opened.kind != "adversarial":
        raise InputError(f"{path}: holds {opened.kind} images; --augment-adv takes an adversarial set")
    if opened.header["split"] != "train":
        raise InputError(
            f"{path}: was made from the {opened.header['split']} split; adversarial images of it must not enter training\n"
            f"make a set of training images: advcli attack --split train"
        )
    source = opened.header["made"]["data"]
    if _source(source) != _source(images.origin):
        of = f"{source['name']}:{source['split']}" if source else "no data set"
        raise InputError(f"{path}: was made from {of}, and not from {images.name}:{images.split} as it is here")
    found = of_set(opened, "train").for_classes(images.classes, images.name)
    if found.shape != images.shape:
        have, want = ("x".join(map(str, shape)) for shape in (found.shape, images.shape))
        raise InputError(f"{path}: images are {have} (channels, height, width), those of {images.name} {want}")
    _refuse_other_rows(path, found, whole)
    return found


def _source(origin: Header | None) -> Header:
    return {key: value for key, value in (origin or {}).items() if key not in SELECTION}


def _refuse_other_rows(path: str, found: Dataset, whole: Dataset) -> None:
    """Refuse rows whose source is no training image, or whose label is not the one that it has there."""
    labels = dict(zip(whole.index.tolist(), whole.labels.tolist(), strict=True))
    proper = np.array([labels.get(one, -2) for one in found.index.tolist()])
    if (strange := np.flatnonzero(proper == -2)).size:
        row = int(strange[0])
        part = f"part {whole.origin['part']} of " if "part" in whole.origin else ""
        raise InputError(f"{path}: row {row}: image {found.index[row]} is not in {part}the training split of {whole.name}")
    if (wrong := np.flatnonzero(proper != found.labels)).size:
        row = int(wrong[0])
        raise InputError(f"{path}: row {row}: its label is not that of image {found.index[row]} of {whole.name}")
