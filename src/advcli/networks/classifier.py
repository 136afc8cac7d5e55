"""A network behind its normalisation, and the dropout whose masks are a function of the sample."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from advcli.numerics.rng import SampleRNG


class Dropout(nn.Module):
    """Dropout whose masks are a function of the sample, not of a global state; idle in evaluation.

    With `branch` a sample keeps or loses all of its numbers: stochastic depth.
    """

    def __init__(self, rate: float, *, branch: bool = False) -> None:
        super().__init__()
        self.rate, self.branch = rate, branch
        self.draws: SampleRNG | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x
        if self.draws is None:
            raise RuntimeError("dropout in training needs draws")
        shape = [1] * (x.ndim - 1) if self.branch else x.shape[1:]
        return x * (self.draws.chance(1 - self.rate, *shape).to(x.dtype) / (1 - self.rate))


class Classifier(nn.Module):
    """Pixels in [0, 1] -> logits: the normalisation and the network. Hands the draws to the network's dropouts."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.plain = not any(mean) and all(one == 1 for one in std)
        self.layout = torch.contiguous_format  # of the pictures that the network sees
        self.auxiliary: list[Tensor] = []  # logits of side heads, which some networks have in training only
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        if draws is not None:
            for k, layer in enumerate(m for m in self.network.modules() if isinstance(m, Dropout)):
                layer.draws = draws.fork("dropout", k) if layer.training else None
        x = x if self.plain else (x - self.mean) / self.std
        found = self.network(x.contiguous(memory_format=self.layout))
        self.auxiliary = []
        if isinstance(found, tuple):
            found, *side = found
            self.auxiliary = [one for one in side if one is not None]
        return cast(Tensor, found)


def classifier_of(model: nn.Module) -> Classifier:
    """The classifier at the bottom of a stack."""
    return next(m for m in model.modules() if isinstance(m, Classifier))


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Evaluation mode and no gradients of weights; everything as it was afterwards."""
    modes = {module: module.training for module in model.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.eval().requires_grad_(False)
    try:
        yield model
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter, grad in wanted.items():
            parameter.requires_grad_(grad)
