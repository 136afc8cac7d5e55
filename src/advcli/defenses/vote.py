"""Several models decide together: by the majority of their classes, or by the mean of their probabilities or logits.

A tied majority goes to the first class. A vote's own gradient is that of one member, so an attack uses the mean of the
logits instead, and goes through every member that has a gradient.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.defenses.average import together
from advcli.numerics.rng import SampleRNG

RULES = {"majority": "vote", "mean-prob": "mean-prob", "mean-logit": "mean-logit"}


def answers(model: nn.Module, members: Iterable[nn.Module], x: Tensor, draws: SampleRNG | None) -> Tensor:
    """(N, 1 + M, K) the logits of the model and of each member."""
    beside = [one(x, draws and draws.fork("member", k)) for k, one in enumerate(members)]
    return torch.stack([model(x, draws), *beside], 1)


class Voting(nn.Module):
    """The model and the members beside it."""

    def __init__(self, model: nn.Module, members: Sequence[nn.Module], rule: str) -> None:
        super().__init__()
        self.model, self.members, self.rule = model, nn.ModuleList(members), rule

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        return together(answers(self.model, self.members, x, draws), RULES[self.rule])


@defense(family="ensemble", gradient="surrogate", members=True)
def vote(
    model: nn.Module,
    members: Sequence[nn.Module],
    *,
    rule: Annotated[
        Literal["majority", "mean-prob", "mean-logit"], Param("Rule that combines the models' outputs.")
    ] = "majority",
) -> nn.Module:
    return Voting(model, members, rule)
