"""Dropout voting: several passes with dropout on, and the class that most of them decide on.

Only dropout is random: batch norm and all else stay in evaluation mode. A tie goes to the lowest class. The logit of a class
is its margin in the pass that would complete its majority; an attack uses the mean over the passes. It helps against
examples that barely cross the boundary, and not against those far beyond it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from torch import Tensor, nn

from advcli.catalog.options import DropRate, Passes
from advcli.catalog.registry import defense
from advcli.errors import CommandError
from advcli.networks.classifier import Dropout
from advcli.networks.voting import majority_logits, stochastic_logits
from advcli.numerics.rng import SampleRNG


@contextmanager
def dropping(layers: list[Dropout], rate: float | None) -> Iterator[None]:
    """Turn these dropout layers on for a while, at this rate or their own."""
    kept = [(layer.training, layer.rate) for layer in layers]
    for layer in layers:
        layer.training, layer.rate = True, layer.rate if rate is None else rate
    try:
        yield
    finally:
        for layer, (mode, own) in zip(layers, kept, strict=True):
            layer.training, layer.rate = mode, own


def droppers(model: nn.Module, name: str) -> list[Dropout]:
    """The dropout layers of a model."""
    found = [one for one in model.modules() if isinstance(one, Dropout) and one.rate]
    if not found:
        raise CommandError(f"{name}: the model has no dropout layer\ntrain one that has: --arch cnn --dropout 0.5")
    return found


class DropoutVoting(nn.Module):
    """A model that decides by several passes with dropout on."""

    def __init__(self, model: nn.Module, passes: int, rate: float | None) -> None:
        super().__init__()
        self.model = model
        self.passes, self.rate = passes, rate
        self.copies = passes
        self.layers = droppers(model, "dropout-vote")

    def forward(self, x: Tensor, draws: SampleRNG) -> Tensor:
        return majority_logits(stochastic_logits(self.one_pass, x, draws, self.passes))

    def one_pass(self, x: Tensor, draws: SampleRNG) -> Tensor:
        with dropping(self.layers, self.rate):
            return cast(Tensor, self.model(x, draws))


@defense(family="averaging", gradient="surrogate", random=True, votes=True, filters=False, paper="Wang, Kunin and Pyron")
def dropout_vote(
    model: nn.Module,
    *,
    passes: Passes = 50,
    rate: DropRate = None,
) -> nn.Module:
    return DropoutVoting(model, passes, rate)
