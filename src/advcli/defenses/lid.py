"""Rejects images around which the features of training images spread in many directions: local intrinsic dimensionality.

LID(x) = -(1/k sum_i log r_i / r_k)^-1 with the distances r_1 <= ... <= r_k from the features of x to the nearest ones of a
fixed set of training images, in place of the batch that Ma et al. measure x in: so no image changes the score of another.
s(x) = sum over layers of log LID(x), the inputs of the last layers with weights, maps averaged over their places. Ma et al.
weigh the layers by a logistic regression on adversarial examples instead; here nothing is fitted on an attack. It fails
against an attack that goes through it, and even against confident examples (Athalye et al., arXiv:1802.00420).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from advcli.catalog.options import FeatureLayers, Fpr
from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.errors import CommandError, InputError
from advcli.files.header import Header
from advcli.networks.feature_detector import FeatureDetector, Statistics, Tensors

TINY = 1e-6  # of a squared distance


def log_lid(f: Tensor, references: Tensor, neighbours: int) -> Tensor:
    """(N,) the logarithm of the dimensionality around each row, by its nearest references."""
    squared = (f.square().sum(1, keepdim=True) - 2 * f @ references.T + references.square().sum(1)).detach()
    nearest = squared.topk(neighbours, 1, largest=False).indices
    near = (f[:, None] - references[nearest]).square().sum(2).clamp_min(TINY).log().sort(1).values / 2  # log distances
    return -(near[:, -1:] - near).mean(1).clamp_min(TINY).log()


class Neighbourhood(Statistics):
    """The features of the reference images, of each layer."""

    def __init__(self, most: int, neighbours: int, classes: int) -> None:
        super().__init__(classes)
        self.most, self.neighbours = most, neighbours

    @property
    def kinds(self) -> dict[str, int]:
        return {f"references_{k}": 2 for k in range(self.layers)}

    @property
    def widths(self) -> list[int]:
        return [self.get_buffer(f"references_{k}").shape[1] for k in range(self.layers)]

    def suits(self, tensors: Mapping[str, Tensor]) -> bool:
        return all(len(one) > self.neighbours for one in tensors.values())

    def fit(self, features: Sequence[Tensor], label: Tensor, seed: int) -> tuple[Tensors, Header]:
        if len(label) <= self.neighbours:
            raise InputError(f"lid: {len(label)} images are too few for {self.neighbours} neighbours; use more with --limit")
        some = torch.linspace(0, len(label) - 1, min(self.most, len(label))).round().long()
        return {f"references_{k}": f[some].clone() for k, f in enumerate(features)}, {}

    def score(self, features: Sequence[Tensor], label: Tensor) -> Tensor:
        each = [log_lid(f, self.get_buffer(f"references_{k}"), self.neighbours) for k, f in enumerate(features)]
        return torch.stack(each).sum(0)


@defense(family="detector", gradient="exact", features=True, rejects=True, paper="arXiv:1801.02613")
def lid(
    model: nn.Module,
    shape: tuple[int, int, int],
    classes: int,
    *,
    neighbours: Annotated[int, Param("Nearest reference images.", low=2, high=10_000)] = 20,
    references: Annotated[int, Param("Reference images.", low=3, high=100_000)] = 1000,
    layers: FeatureLayers = 2,
    fpr: Fpr = 0.05,
) -> nn.Module:
    if references <= neighbours:
        raise CommandError(f"--references {references}: has to be larger than --neighbours {neighbours}")
    return FeatureDetector(model, Neighbourhood(references, neighbours, classes), layers)
