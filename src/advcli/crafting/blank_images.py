"""Start images for methods without an original: noise or a plain colour, one for every target class."""

import numpy as np
import torch
from torch import Tensor

from advcli.errors import CommandError
from advcli.files.header import NOTHING
from advcli.images.dataset import Dataset
from advcli.networks.model_file import ModelFile
from advcli.numerics.arrays import Array
from advcli.numerics.rng import Purpose, SampleRNG

LEVELS = {"black": 0.0, "grey": 0.5, "white": 1.0}


def start_images(model: ModelFile, init: str, count: int, seed: int, target: str) -> Dataset:
    """Start images of the model's size, without a label: `count` for every class that is a target."""
    if target in ("next", "other", "least-likely"):
        raise CommandError(
            f"--target {target}: the method starts without an image to derive a class from; name one, or use all or random"
        )
    rows = count * (len(model.classes) if target == "all" else 1)

    def read(places: Array) -> Tensor:
        if init == "noise":
            return SampleRNG(seed, torch.from_numpy(places), (Purpose.INIT,)).uniform(*model.shape)
        return torch.full((len(places), *model.shape), LEVELS[init])

    return Dataset(
        name=init,
        split="test",
        classes=model.classes,
        shape=model.shape,
        labels=np.full(rows, -1, np.int64),
        index=np.arange(rows),
        read=read,
        origin={"name": NOTHING, "split": "test"},
        eight_bit=init in ("black", "white"),
    )
