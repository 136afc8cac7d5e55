"""Defenses that change the image before the model sees it, and surrogate gradients for steps without a gradient."""

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from advcli.numerics.rng import SampleRNG


def straight_through(value: Tensor, surrogate: Tensor) -> Tensor:
    """The value in the forward pass, the gradient of the surrogate in the backward pass (BPDA, arXiv:1802.00420)."""
    return surrogate + (value - surrogate).detach()


class Filtered(nn.Module):
    """A model behind a filter."""

    def __init__(self, model: nn.Module, keep: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.keep = keep

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        return cast(Tensor, self.model(self.keep(x), draws))

    def filter(self, x: Tensor, draws: SampleRNG) -> Tensor:
        """The filtered image, clamped to the pixel range."""
        return self.keep(x).clamp(0, 1)


class RandomlyFiltered(nn.Module):
    """A model behind a filter that draws, for every image by itself."""

    def __init__(self, model: nn.Module, keep: Callable[[Tensor, SampleRNG], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.keep = keep

    def forward(self, x: Tensor, draws: SampleRNG) -> Tensor:
        return cast(Tensor, self.model(self.keep(x, draws.fork("filter")), draws.fork("inside")))

    def filter(self, x: Tensor, draws: SampleRNG) -> Tensor:
        """The filtered image, clamped to the pixel range."""
        return self.keep(x, draws.fork("filter")).clamp(0, 1)
