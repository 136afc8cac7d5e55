"""Randomized smoothing: the class that the model gives most often under Gaussian noise, which can be certified.

g(x) = argmax_c P(f(x + d) = c), d ~ N(0, sigma^2 I), decided by the plurality of some noisy copies; a draw goes to the
lowest class. The noise is not clipped: the certificate (`evaluate --metric certified`) is a theorem about the whole
normal distribution, and so this is no filter that leaves an image. A class's logit is its lead in the copy that would
complete its majority; an attack climbs the mean over the copies. A model serves best that was trained on such noise
(--augment noise:0.25).
"""

from typing import Annotated, cast

import torch
from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.networks.certified import Certified
from advcli.networks.voting import majority_logits, stochastic_logits, vote_counts
from advcli.numerics.rng import SampleRNG


class Smoothed(Certified):
    """A model that decides by noisy looks at the image."""

    def __init__(self, model: nn.Module, sigma: float, samples: int) -> None:
        super().__init__()
        self.model = model
        self.sigma, self.samples = sigma, samples
        self.copies = samples

    def forward(self, x: Tensor, draws: SampleRNG) -> Tensor:
        return majority_logits(stochastic_logits(self.noisy, x, draws, self.samples))

    def noisy(self, x: Tensor, draws: SampleRNG) -> Tensor:
        """The model's answer to each image under noise of its own."""
        noise = self.sigma * draws.fork("noise").normal(*x.shape[1:])
        return cast(Tensor, self.model(x + noise, draws.fork("inside")))

    def votes(self, x: Tensor, draws: SampleRNG, copies: int) -> Tensor:
        """(N, K) how often each class is decided on so many noisy copies: what a certificate is made of."""
        with torch.no_grad():
            return vote_counts(self.noisy, x, draws, copies)


@defense(family="averaging", gradient="surrogate", random=True, votes=True, filters=False, paper="arXiv:1902.02918")
def smoothing(
    model: nn.Module,
    *,
    sigma: Annotated[float, Param("Standard deviation of the noise, in pixels from 0 to 1.", low=1e-6, high=100)] = 0.25,
    samples: Annotated[int, Param("Noisy copies that vote.", low=1, high=100000)] = 100,
) -> nn.Module:
    return Smoothed(model, sigma, samples)
