"""Rejects images on which passes with dropout disagree: on clean images they mostly agree.

s(x) measures how spread the votes of the passes are: their entropy -sum_k p_k log p_k over the shares p_k, the share
1 - max_k p_k of the votes against the majority, or the number of classes with a vote. The model behind it decides, without
dropout. Votes have no gradient, so an attack uses the same measure of the mean probability. It detects images that barely
cross the boundary; on images far beyond it the passes agree as much as on clean images, or more.
"""

from typing import Annotated, Literal, cast

import torch
from torch import Tensor, nn

from advcli.catalog.options import DropRate, Fpr, Passes
from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.defenses.dropout_vote import droppers, dropping
from advcli.networks.filtered import straight_through
from advcli.networks.rejection import Rejecting
from advcli.networks.voting import stochastic_logits
from advcli.numerics.rng import SampleRNG

TINY = 1e-12


def entropy(shares: Tensor) -> Tensor:
    """-sum_k p_k log p_k."""
    return -(shares * shares.clamp_min(TINY).log()).sum(1)


def lacking(shares: Tensor) -> Tensor:
    """1 - max_k p_k."""
    return 1 - shares.amax(1)


def several(shares: Tensor) -> Tensor:
    """The number of classes with at least one vote."""
    return (shares > 0).sum(1).to(shares.dtype)


def as_many(shares: Tensor) -> Tensor:
    """The number of equal shares that would have the same entropy."""
    return entropy(shares).exp()


# of the votes, and of the mean probability, which an attack climbs
SPREAD = {"entropy": (entropy, entropy), "share": (lacking, lacking), "classes": (several, as_many)}


class Divided(Rejecting):
    """A model and the votes of its own passes with dropout on."""

    def __init__(self, model: nn.Module, passes: int, rate: float | None, spread: str) -> None:
        super().__init__(model)
        self.passes, self.rate, self.spread = passes, rate, SPREAD[spread]
        self.copies = 1 + passes
        self.layers = droppers(model, "dropout-detector")

    def highest(self, classes: int) -> float:
        most = min(classes, self.passes)  # classes that get as many votes each
        return float(self.spread[0](torch.full((1, most), 1 / most)))

    def suspicion(self, x: Tensor, scores: Tensor, draws: SampleRNG | None) -> Tensor:
        assert draws is not None  # the traits say that it draws
        logits = stochastic_logits(self.one_pass, x, draws.fork("votes"), self.passes)[:, :, : scores.shape[1]]
        votes = nn.functional.one_hot(logits.argmax(2), logits.shape[2]).to(logits.dtype).mean(1)
        counted, climbed = self.spread
        return straight_through(counted(votes), climbed(logits.softmax(2).mean(1)))

    def one_pass(self, x: Tensor, draws: SampleRNG) -> Tensor:
        with dropping(self.layers, self.rate):
            return cast(Tensor, self.model(x, draws))


@defense(family="detector", gradient="surrogate", random=True, rejects=True, paper="Wang, Kunin and Pyron")
def dropout_detector(
    model: nn.Module,
    *,
    passes: Passes = 50,
    rate: DropRate = None,
    score: Annotated[Literal["entropy", "share", "classes"], Param("Measure of the spread of the votes.")] = "entropy",
    fpr: Fpr = 0.05,
) -> nn.Module:
    return Divided(model, passes, rate, score)
