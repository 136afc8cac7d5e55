"""Perturbed prediction averaging: decides by the image and randomly perturbed copies of it.

P(k) = sum_i exp(z_k(x + d_i)) / sum_j sum_i exp(z_j(x + d_i)), d_1 = 0, the other d_i uniform in [-eps_max, eps_max]
per pixel, clipped to the pixel range. This is `expsum`, the formula of the paper; the copy with the largest logits dominates
it. mean-prob, mean-logit and vote are the usual averages. A vote gets the gradient of mean-logit (BPDA), since its own
gradient is that of a single copy. As a filter of images it writes one perturbed copy of each image.
"""

import math
from typing import Annotated, Literal, cast

import torch
from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.networks.voting import majority_logits
from advcli.numerics.rng import SampleRNG


def together(logits: Tensor, how: str) -> Tensor:
    """(N, samples, K) logits -> (N, K) logits of the average: `expsum` is a log-sum-exp over the samples."""
    if how == "expsum":
        return logits.logsumexp(1)
    if how == "mean-logit":
        return logits.mean(1)
    return logits.log_softmax(2).logsumexp(1) - math.log(logits.shape[1]) if how == "mean-prob" else majority_logits(logits)


class Averaged(nn.Module):
    """A model that decides by several noisy copies of the image."""

    def __init__(self, model: nn.Module, samples: int, eps_max: float, how: str) -> None:
        super().__init__()
        self.model = model
        self.samples, self.eps_max, self.how = samples, eps_max, how
        self.copies = samples

    def forward(self, x: Tensor, draws: SampleRNG) -> Tensor:
        noise = self.eps_max * (2 * draws.fork("copies").uniform(self.samples - 1, *x.shape[1:]) - 1)
        copies = torch.cat([x[:, None], (x[:, None] + noise).clamp(0, 1)], 1)
        logits: Tensor = self.model(copies.flatten(0, 1), draws.fork("inside").copies(self.samples))
        return together(logits.view(len(x), self.samples, -1), self.how)

    def filter(self, x: Tensor, draws: SampleRNG) -> Tensor:
        """One perturbed copy."""
        noise = self.eps_max * (2 * draws.fork("copies").uniform(*x.shape[1:]) - 1)
        return (x + noise).clamp(0, 1)


@defense(family="averaging", gradient="exact", random=True, votes=True, paper="Donoghue, Lines and Pereira")
def average(
    model: nn.Module,
    *,
    samples: Annotated[int, Param("Copies of the image, the first one unperturbed.", low=1, high=10000)] = 20,
    eps_max: Annotated[float, Param("Largest change of a pixel by the uniform noise.", low=0, high=1)] = 0.3,
    average: Annotated[
        Literal["expsum", "mean-prob", "mean-logit", "vote"], Param("Rule that combines the copies into one decision.")
    ] = "expsum",
) -> nn.Module:
    return cast(nn.Module, Averaged(model, samples, eps_max, average))
