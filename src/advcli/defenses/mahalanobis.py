"""Rejects images whose features are far from the mean of every class, measured by the features' own spread.

s(x) = sum over layers of min_c (f - m_c)^T S^-1 (f - m_c) / D, with the class means m_c of the D features f of training images
and one covariance S of all classes, (1 - a) S + a tr(S)/D I: features of a network are often nearly dependent. The features
are the inputs of the last layers with weights, maps averaged over their places. Lee et al. also weigh the layers by a logistic
regression on adversarial examples, and move the image by a small step first; both are left out, so that nothing is fitted on
an attack. It fails against an attack that goes through it.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from advcli.catalog.options import FeatureLayers, Fpr
from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.errors import InputError
from advcli.files.header import Header
from advcli.networks.feature_detector import FeatureDetector, Statistics, Tensors, fewest


class Ellipsoids(Statistics):
    """Of each layer, a matrix that makes the spread within classes the same in all directions, and the class means after it."""

    def __init__(self, shrinkage: float, classes: int) -> None:
        super().__init__(classes)
        self.shrinkage = shrinkage

    @property
    def kinds(self) -> dict[str, int]:
        return {f"{name}_{k}": 2 for k in range(self.layers) for name in ("means", "whitening")}

    @property
    def widths(self) -> list[int]:
        return [self.get_buffer(f"whitening_{k}").shape[1] for k in range(self.layers)]

    def suits(self, tensors: Mapping[str, Tensor]) -> bool:
        pairs = [(tensors[f"means_{k}"], tensors[f"whitening_{k}"]) for k in range(self.layers)]
        return all(w.shape[0] == w.shape[1] and m.shape == (self.classes, len(w)) for m, w in pairs)

    def fit(self, features: Sequence[Tensor], label: Tensor, seed: int) -> tuple[Tensors, Header]:
        fewest(label, self.classes, 1, "mahalanobis")
        tensors: Tensors = {}
        for k, f in enumerate(features):
            x = f.double()
            means = torch.stack([x[label == one].mean(0) for one in range(self.classes)])
            centred = x - means[label]
            values, vectors = torch.linalg.eigh(centred.T @ centred / len(x))
            if not float(values.sum()) > 0:
                raise InputError("the features of the images of a class do not vary; give more images with --limit")
            values = (1 - self.shrinkage) * values.clamp_min(0) + self.shrinkage * values.clamp_min(0).mean()
            whitening = vectors.T / (values.sqrt()[:, None])
            tensors |= {f"means_{k}": (means @ whitening.T).float(), f"whitening_{k}": whitening.float()}
        return tensors, {}

    def score(self, features: Sequence[Tensor], label: Tensor) -> Tensor:
        found = torch.zeros(len(label), device=label.device)
        for k, f in enumerate(features):
            means, r = self.get_buffer(f"means_{k}"), f @ self.get_buffer(f"whitening_{k}").T
            far = r.square().sum(1, keepdim=True) - 2 * r @ means.T + means.square().sum(1)
            found = found + far.amin(1) / f.shape[1]
        return found


@defense(family="detector", gradient="exact", features=True, rejects=True, paper="arXiv:1807.03888")
def mahalanobis(
    model: nn.Module,
    shape: tuple[int, int, int],
    classes: int,
    *,
    layers: FeatureLayers = 2,
    shrinkage: Annotated[float, Param("Share of equal variances in the covariance.", low=1e-6, high=1)] = 0.01,
    fpr: Fpr = 0.05,
) -> nn.Module:
    return FeatureDetector(model, Ellipsoids(shrinkage, classes), layers)
