"""The reduction of features to fewer numbers that keep a share of their variance: principal components, or an autoencoder.

share = 1 - sum_n ||f_n - f'_n||^2 / sum_n ||f_n - mean f||^2, with the reconstruction f' of f. An autoencoder is
h -> W_2 relu(W_1 f + b_1) + b_2, with a decoder of the same form that is used in its training only.
"""

from dataclasses import dataclass
from itertools import count, pairwise
from math import sqrt

import torch
from torch import Tensor, nn

from advcli.errors import InputError
from advcli.numerics.rng import Purpose, SampleRNG

STEPS, RATE = 1000, 3e-3  # of the training of an autoencoder
AT_ONCE = 256
WIDER = 1.25  # hidden numbers, and a code that has to reach a share, beside the number of principal components


@dataclass(frozen=True, slots=True)
class Wanted:
    """A number of dimensions, or a share of the variance."""

    kind: str  # pca, ae or none
    size: int | None = None
    share: float | None = None


def wanted(text: str) -> Wanted | None:
    """`pca:0.7`, `pca:32`, `ae:0.7`, `ae:32` or `none`; None if it is nothing of the kind."""
    kind, _, number = text.partition(":")
    if text == "none":
        return Wanted("none")
    if kind not in ("pca", "ae"):
        return None
    if number.isdecimal() and 0 < int(number) <= 65536:
        return Wanted(kind, size=int(number))
    try:
        share = float(number)
    except ValueError:
        return None
    return Wanted(kind, share=share) if 0 < share < 1 else None


def variances(f: Tensor) -> tuple[Tensor, Tensor]:
    """The variances along the principal directions, largest first, and the directions as rows, in float64."""
    centred = f.double() - f.double().mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(f))
    return values.flip(0).clamp_min(0), vectors.T.flip(0)


def fitted(f: Tensor, how: Wanted, seed: int) -> tuple[dict[str, Tensor], float]:
    """The tensors of a reduction of (N, D) features, and the share of the variance that it keeps."""
    spread, directions = variances(f)
    if not float(spread.sum()) > 0:
        raise InputError("the features of these images do not vary; the network is broken, or there are too few images")
    shares = spread.cumsum(0) / spread.sum()
    size = how.size or 1 + int((shares < (how.share or 1.0) - 1e-12).sum())
    size = min(size, f.shape[1])
    centre = f.double().mean(0).float()
    if how.kind == "none":
        return {"centre": centre, "first": torch.eye(f.shape[1])}, 1.0
    if how.kind == "pca":
        return {"centre": centre, "first": directions[:size].float()}, float(shares[size - 1])
    return autoencoder(f, centre, size if how.size else min(f.shape[1], int(WIDER * size) + 1), how.share, seed)


def reduced(f: Tensor, tensors: dict[str, Tensor]) -> Tensor:
    """(N, d) the reduced features."""
    found = (f - tensors["centre"]) @ tensors["first"].T
    if "second" in tensors:
        found = (found + tensors["first_bias"]).relu() @ tensors["second"].T + tensors["second_bias"]
    return found


def autoencoder(f: Tensor, centre: Tensor, size: int, share: float | None, seed: int) -> tuple[dict[str, Tensor], float]:
    """Trained until it keeps the share of the variance, or for all its steps."""
    x = f - centre
    whole, scale = x.square().sum(), x.square().mean().sqrt()
    hidden = int(WIDER * max(size, min(f.shape[1], 64)))
    sizes = [f.shape[1], hidden, size, hidden, f.shape[1]]
    with torch.device("meta"):  # their weights are drawn below
        layers = [nn.Linear(before, after) for before, after in pairwise(sizes)]
    for k, layer in enumerate(layers):
        draws = SampleRNG(seed, torch.arange(layer.out_features), (Purpose.CALIBRATION, "autoencoder", str(k)))
        layer.weight = nn.Parameter(draws.normal(layer.in_features).float() / sqrt(layer.in_features))
        layer.bias = nn.Parameter(torch.zeros(layer.out_features))
    first, second, third, fourth = layers

    drawn = SampleRNG(seed, torch.arange(STEPS), (Purpose.CALIBRATION, "rows")).uniform(AT_ONCE)
    batches = (drawn * len(x)).long().clamp(max=len(x) - 1)

    def again(rows: Tensor) -> Tensor:
        found: Tensor = fourth(third(second(first(rows).relu())).relu())
        return found

    adam, kept = torch.optim.Adam([one for layer in layers for one in layer.parameters()], RATE), 0.0
    for step in count():
        if share is not None or step == STEPS:
            with torch.no_grad():
                kept = 1 - float((again(x / scale) * scale - x).square().sum() / whole)
            if step == STEPS or (share is not None and kept >= share):
                break
        rows = batches[step]
        adam.zero_grad()
        (again(x[rows] / scale) - x[rows] / scale).square().mean().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        adam.step()
    return {"centre": centre, "first": first.weight.data / scale, "first_bias": first.bias.data,
            "second": second.weight.data, "second_bias": second.bias.data}, kept  # fmt: skip
