"""A model of models/ and the first images of its test split that it has right."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from advcli.images.dataset import Dataset
from advcli.networks import model_file
from advcli.networks.model_file import ModelFile
from advcli.numerics.arrays import Array
from advcli.workspace import inputs

MODELS = Path(__file__).parent / "models"
SHAPE = 64  # verdicts are taken in batches of exactly so many images


@dataclass(frozen=True)
class Subject:
    """Who is attacked, and where from."""

    file: ModelFile
    data: Dataset
    x: Tensor
    y: Tensor

    def module(self) -> nn.Module:
        """A fresh copy of the model as a user would load it."""
        return self.file.module()


def exists(name: str) -> bool:
    return (MODELS / f"{name}.safetensors").exists()


def load(name: str, count: int) -> Subject:
    """The model of that name, and `count` images that it classifies correctly."""
    file = model_file.read(MODELS / f"{name}.safetensors")
    data = inputs.data_of(file, None, None)
    x, y = data.batch(0, 2 * count)
    right = (logits(file.module(), x).argmax(1) == y).numpy().nonzero()[0][:count]
    data = data.rows(right)
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
