"""Rejects images whose features lie where those of training images of the predicted class are rare: a kernel density.

s(x) = -log p(r(f(x)) | c(x)), with p(r | c) = 1/n sum_j N(r; r_j, h^2 I) over reference images of the predicted class c and
a reduction r of the features f before the last layer to a share of their variance (S2-D3). The log-density is the confidence
that an image is natural. Of up to 10,000 training images every fifth is held out, and h is the bandwidth under which these
are most likely; the threshold is set on validation images, which nothing else has seen. It detects attacks that do not know
of it, and fails against one that goes through it (Carlini and Wagner, arXiv:1705.07263).
"""

from collections.abc import Mapping, Sequence
from math import log, pi
from typing import Annotated

import torch
from torch import Tensor, nn

from advcli.catalog.options import Fpr
from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.errors import CommandError
from advcli.files.header import Header
from advcli.networks.feature_detector import FeatureDetector, Statistics, Tensors, fewest
from advcli.numerics.reduction import Wanted, fitted, reduced, wanted

HELD_OUT = 5  # every fifth image
WIDTHS = 10 ** torch.linspace(-1.5, 0.5, 21, dtype=torch.float64)  # of the spread within a class, tried as bandwidth
LARGEST = 1 << 24  # numbers of all references
PCA = {"centre": 1, "first": 2}
AE = {"first_bias": 1, "second": 2, "second_bias": 1}


def log_density(r: Tensor, references: Tensor, count: Tensor, bandwidth: Tensor) -> Tensor:
    """(N,) log 1/n sum_j N(r; r_j, h^2 I) over the first n of each image's own (N, M, d) references."""
    beyond = torch.arange(references.shape[1], device=r.device)[None] >= count[:, None]
    exponent = -(r[:, None] - references).square().sum(2) / (2 * bandwidth**2)
    near = exponent.masked_fill(beyond, -torch.inf).logsumexp(1)
    return near - count.log() - r.shape[1] * (bandwidth.log() + 0.5 * log(2 * pi))


class Density(Statistics):
    """References of each class, reduced, and the bandwidth."""

    def __init__(self, how: Wanted, most: int, classes: int) -> None:
        super().__init__(classes)
        self.how, self.most = how, most

    @property
    def kinds(self) -> dict[str, int]:
        more = AE if self.how.kind == "ae" else {}
        return {**PCA, **more, "references": 3, "count": 1, "bandwidth": 1}

    @property
    def widths(self) -> list[int]:
        return [len(self.get_buffer("centre"))]

    def suits(self, tensors: Mapping[str, Tensor]) -> bool:
        centre, first, references, count = (tensors[name] for name in ("centre", "first", "references", "count"))
        classes, most, size = references.shape
        inside = first.shape[1] == len(centre)
        if "second" in tensors:
            inside &= tensors["second"].shape == (size, len(first)) and len(tensors["second_bias"]) == size
            inside &= len(tensors["first_bias"]) == len(first)
        else:
            inside &= len(first) == size
        whole = bool(((count >= 1) & (count <= most)).all()) and bool((tensors["bandwidth"] > 0).all())
        return inside and whole and classes == len(count) == self.classes and tensors["bandwidth"].shape == (1,)

    def fit(self, features: Sequence[Tensor], label: Tensor, seed: int) -> tuple[Tensors, Header]:
        (f,) = features
        fewest(label, self.classes, 2, "kde")
        tensors, share = fitted(f, self.how, seed)
        r = reduced(f, tensors)
        each = [torch.nonzero(label == k)[:, 0] for k in range(self.classes)]
        held = [one[HELD_OUT - 1 :: HELD_OUT] if len(one) >= HELD_OUT else one[-1:] for one in each]
        most = min(self.most, max(1, LARGEST // (self.classes * r.shape[1])))
        kept = [one[~torch.isin(one, out)][:most] for one, out in zip(each, held, strict=True)]
        references = torch.zeros(self.classes, max(map(len, kept)), r.shape[1])
        for k, one in enumerate(kept):
            references[k, : len(one)] = r[one]
        within = torch.cat([(r[one] - r[one].mean(0)).square() for one in each]).mean().sqrt()
        likely = [self._likelihood(r, held, references, kept, float(width * within)) for width in WIDTHS]
        bandwidth = WIDTHS[likely.index(max(likely))] * float(within.clamp_min(1e-6))
        tensors |= {"references": references, "count": torch.tensor([float(len(one)) for one in kept]),
                    "bandwidth": bandwidth.float()[None]}  # fmt: skip
        return tensors, {"explained": round(share, 6), "dimensions": r.shape[1], "bandwidth": float(bandwidth)}

    def _likelihood(self, r: Tensor, held: Sequence[Tensor], references: Tensor, kept: Sequence[Tensor], width: float) -> float:
        """The log-likelihood of held-out images of all classes under a bandwidth."""
        total, h = 0.0, torch.tensor(max(width, 1e-6), dtype=torch.float64)
        for out, known, inside in zip(held, references, kept, strict=True):
            far = torch.cdist(r[out].double(), known[: len(inside)].double()).square()
            near = (-far / (2 * h**2)).logsumexp(1) - log(len(inside))
            total += float((near - r.shape[1] * h.log()).sum())
        return total

    def score(self, features: Sequence[Tensor], label: Tensor) -> Tensor:
        held = dict(self.named_buffers())
        r = reduced(features[0], held)
        return -log_density(r, held["references"][label], held["count"][label], held["bandwidth"])


@defense(family="detector", gradient="exact", features=True, rejects=True, paper="arXiv:1703.00410")
def kde(
    model: nn.Module,
    shape: tuple[int, int, int],
    classes: int,
    *,
    reduce: Annotated[
        str,
        Param(
            "Reduction of the features: pca or ae (autoencoder), with the share of the variance that is kept or the number of "
            "dimensions, or none.",
            form="pca:0.7|ae:32|none",
        ),
    ] = "pca:0.7",
    references: Annotated[int, Param("Largest number of reference images for each class.", low=1, high=100_000)] = 500,
    fpr: Fpr = 0.05,
) -> nn.Module:
    how = wanted(reduce)
    if how is None:
        raise CommandError(f"--reduce {reduce}: give pca:SHARE, pca:N, ae:SHARE, ae:N or none, with a share between 0 and 1")
    return FeatureDetector(model, Density(how, references, classes))
