"""Randomized smoothing: decides on the class that the model gives most often under Gaussian noise; it can be certified.

g(x) = argmax_c P(f(x + d) = c), d ~ N(0, sigma^2 I), decided by the plurality of some noisy copies; a tie goes to the
lowest class. The noise is not clipped, because the certificate (`evaluate --metric certified`) is a theorem about the whole
normal distribution; so it cannot be used as a filter of image files. The logit of a class is its margin in the copy that
would complete its majority; an attack uses the mean over the copies. It works best with a model that was trained on such
noise (--augment noise:0.25).
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
    """A model that decides by noisy copies of the image."""

    def __init__(self, model: nn.Module, sigma: float, samples: int) -> None:
        super().__init__()
        self.model = model
        self.sigma, self.samples = sigma, samples
        self.copies = samples

    def forward(self, x: Tensor, draws: SampleRNG) -> Tensor:
        return majority_logits(stochastic_logits(self.noisy, x, draws, self.samples))

    def noisy(self, x: Tensor, draws: SampleRNG) -> Tensor:
        """The model's logits of each image under noise of its own."""
        noise = self.sigma * draws.fork("noise").normal(*x.shape[1:])
        return cast(Tensor, self.model(x + noise, draws.fork("inside")))

    def votes(self, x: Tensor, draws: SampleRNG, copies: int) -> Tensor:
        """(N, K) how often each class is decided on, over so many noisy copies: the counts behind a certificate."""
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
