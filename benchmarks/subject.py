"""A model of models/ and images of its test split that it has right, of every class in equal share."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from advcli.catalog.request_parts import Selection
from advcli.images.dataset import Dataset
from advcli.networks import model_file
from advcli.networks.model_file import ModelFile
from advcli.numerics.arrays import Array
from advcli.workspace import inputs

MODELS = Path(__file__).parent / "models"
SHAPE = 64  # verdicts are taken in batches of exactly so many images
TRIED = 3  # images of every class that the model is asked about, for each that is wanted


@dataclass(frozen=True)
class Subject:
    """Who is attacked, and where from."""

    file: ModelFile
    data: Dataset
    x: Tensor
    y: Tensor

    @property
    def classes(self) -> dict[str, int]:
        """How many images there are of every class."""
        counts = np.bincount(self.data.labels, minlength=len(self.data.classes))
        return dict(zip(self.data.classes, counts.tolist(), strict=True))

    def module(self) -> nn.Module:
        """A fresh copy of the model as a user would load it."""
        return self.file.module()


def exists(name: str) -> bool:
    return (MODELS / f"{name}.safetensors").exists()


def load(name: str, count: int) -> Subject:
    """The model of that name, and `count` images that it classifies correctly: the first of every class, equally many."""
    file = model_file.read(MODELS / f"{name}.safetensors")
    each = -(-count // len(file.classes))
    data = inputs.data_of(file, None, None, Selection(per_class=TRIED * each))
    x, y = data.batch(0, len(data))
    right = (logits(file.module(), x).argmax(1) == y).numpy().nonzero()[0]
    data = data.rows(right).selected(None, count, each)
    if len(data) < count:
        raise ValueError(f"{name}: has {len(data)} of the images right that it was asked about, fewer than {count}")
    return Subject(file, data, *data.batch(0, len(data)))


def logits(model: nn.Module, x: Tensor) -> Tensor:
    """What the plain float32 model says, asked in one batch shape whatever the number of images."""
    padded = torch.cat([x, x.new_zeros(-len(x) % SHAPE, *x.shape[1:])])
    with torch.no_grad():
        return torch.cat([model(part) for part in padded.split(SHAPE)])[: len(x)]


def distances(a: Tensor, b: Tensor) -> dict[str, Array]:
    """(N,) distances of the stored values, in float64."""
    d = (a.double() - b.double()).flatten(1).abs().numpy()
    return {"l2": np.sqrt((d**2).sum(1)), "linf": d.max(1), "l0": (d > 0).sum(1).astype(np.float64)}
