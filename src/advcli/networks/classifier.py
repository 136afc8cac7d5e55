"""A network behind its normalisation, and dropout whose masks are a function of the sample."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from advcli.errors import AdvcliError
from advcli.networks.logits import logits_of, side_heads
from advcli.numerics.rng import SampleRNG


class Dropout(nn.Module):
    """Dropout whose masks are a function of the sample, not of a global state; inactive in evaluation.

    Single values are dropped; with `whole` planes (channels), or all values of a sample: stochastic depth.
    """

    def __init__(self, rate: float, *, whole: Literal["number", "plane", "branch"] = "number") -> None:
        super().__init__()
        self.rate, self.whole = rate, whole
        self.draws: SampleRNG | None = None
        self.calls = 0  # of one pass: a layer that stands at several places has other masks at each

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x
        if self.draws is None:
            raise RuntimeError("dropout in training needs draws")
        draws = self.draws.fork("call", self.calls) if self.calls else self.draws
        self.calls += 1
        kept = {"number": x.ndim, "plane": 2, "branch": 1}[self.whole]
        shape = [*x.shape[1:kept], *[1] * (x.ndim - kept)]
        return x * (draws.chance(1 - self.rate, *shape).to(x.dtype) / (1 - self.rate))


class Classifier(nn.Module):
    """Pixels in [0, 1] -> logits: the normalisation and the network. Passes the draws to the network's dropout layers."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, mean: Sequence[float], std: Sequence[float], *, shape: tuple[int, ...], classes: int
    ) -> None:
        super().__init__()
        self.network = network
        self.shape, self.classes = shape, classes
        self.plain = not any(mean) and all(one == 1 for one in std)
        self.layout = torch.contiguous_format  # of the images that the network sees
        self.writes: dict[bool, bool] = {}  # whether the network writes on its input, by mode; found out at the first call
        self.auxiliary: list[Tensor] = []  # logits of side heads, which some networks have in training only
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        if draws is not None:
            for k, layer in enumerate(one for one in self.network.modules() if isinstance(one, Dropout)):
                layer.draws, layer.calls = draws.fork("dropout", k) if layer.training else None, 0
        seen = x if self.plain else (x - self.mean) / self.std
        seen = seen.contiguous(memory_format=self.layout)
        if seen is x and self.writes.get(self.training, True):
            seen = seen.clone()
        version = seen._version
        found = self.network(seen)
        wrote = seen._version > version
        if wrote and seen is x:
            raise AdvcliError("the network modifies its input images in place, but did not at first; let it copy them")
        self.writes.setdefault(self.training, wrote)
        self.auxiliary = side_heads(found, self.classes) if self.training else []
        logits = logits_of(found, len(x), self.classes)
        return logits if torch.is_grad_enabled() else logits.detach()


def classifier_of(model: nn.Module) -> Classifier:
    """The classifier inside a stack of defenses."""
    return next(one for one in model.modules() if isinstance(one, Classifier))


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Evaluation mode without gradients of the weights; the earlier state is restored afterwards."""
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
