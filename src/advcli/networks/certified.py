"""The interface of certified models: a model that decides by the votes of noisy copies of an image."""

from abc import abstractmethod

from torch import Tensor, nn

from advcli.numerics.rng import SampleRNG


class Certified(nn.Module):
    """A model whose decision holds within a radius, which `evaluate --metric certified` proves from its votes."""

    sigma: float  # standard deviation of the Gaussian noise, in pixels from 0 to 1

    @abstractmethod
    def votes(self, x: Tensor, draws: SampleRNG, copies: int) -> Tensor:
        """(N, K) how often each class is decided on, over so many noisy copies."""
