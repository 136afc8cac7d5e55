"""The k nearest neighbours among stored training images vote with equal weight; the gradient is zero everywhere.

Distances are computed in double precision, as scikit-learn does; a tied vote goes to the first class.
"""

from collections.abc import Mapping
from math import prod
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import architecture
from advcli.images.dataset import stratified
from advcli.networks.scikit_learn import Arrays, Fitted, from_table
from advcli.networks.structure import References
from advcli.numerics.arrays import Array

KINDS = {"images": (torch.float32, 2), "labels": (torch.int64, 1)}


@architecture(family="fitted", fitted=True, differentiable=False, paper="scikit-learn.org")
def knn(
    shape: tuple[int, int, int],
    classes: int,
    *,
    neighbours: Annotated[int, Param("Number of neighbours that vote.", low=1, high=10000)] = 5,
    references: Annotated[
        int, Param("Largest number of stored training images, every class in proportion to its size.", low=1)
    ] = 10_000,
) -> nn.Module:
    size = prod(shape)

    def fit(x: Array, label: Array, seed: int) -> Arrays:
        kept = np.flatnonzero(stratified(label, min(references, len(label)), f"knn/{seed}"))
        return {"images": x[kept].astype(np.float32), "labels": label[kept].astype(np.int64)}

    def check(found: Mapping[str, Tensor]) -> bool:
        images, labels = found["images"], found["labels"]
        fits = images.shape == (len(labels), size) and len(labels) >= neighbours
        return fits and bool(((labels >= 0) & (labels < classes)).all())

    def run(arrays: Mapping[str, Tensor], x: Tensor) -> Tensor:
        stored, asked = arrays["images"].double(), x.detach().double()
        distance = stored.square().sum(1) - 2 * asked @ stored.T  # without the image's own square, which is the same for all
        nearest = distance.topk(neighbours, largest=False).indices
        votes = nn.functional.one_hot(arrays["labels"][nearest], classes).sum(1)
        return from_table(votes / neighbours, x)

    def parts(arrays: Mapping[str, Tensor]) -> References:
        images = arrays["images"]
        return References(images, arrays["labels"], neighbours, torch.ones_like(images[0]))

    return Fitted(KINDS, fit, check, run, classes, parts)
