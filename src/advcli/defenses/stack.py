"""A small network decides by the logits of several models, each behind its own filters.

h(z_1(x), ..., z_M(x)) with an MLP h, trained on the labels of clean images and of adversarial images made against each of
the models (--against). The integrated model of Wang and Zhang has six models and `--hidden 256,256`. `--recipe paper4` is what
their code does: no activation between the layers, so that the network is a linear map, weights and biases drawn from N(0, 1), and
a fit of 15 epochs at 0.001 in batches of 128 that are not shuffled. Its result depends on the draw: give several --seed.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.defenses.vote import answers
from advcli.errors import CommandError
from advcli.networks.fitting_batch import FittingBatch
from advcli.numerics.rng import SampleRNG


class Stacked(nn.Module):
    """The model, its members, and the network over all their logits."""

    def __init__(self, model: nn.Module, members: Sequence[nn.Module], learned: nn.Module) -> None:
        super().__init__()
        self.model, self.members, self.learned = model, nn.ModuleList(members), learned

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        found: Tensor = self.learned(answers(self.model, self.members, x, draws).flatten(1))
        return found

    def fitting_loss(self, x: Tensor, batch: FittingBatch) -> Tensor:
        """(N,) the cross-entropy on clean images, plus its mean over those made against each model."""
        made = [one for each in (self.model, *self.members) for one in batch.against(each)]
        losses = [
            nn.functional.cross_entropy(self(one, batch.rng.fork("stack", k)), batch.label, reduction="none")
            for k, one in enumerate([x, *made])
        ]
        return losses[0] + torch.stack(losses[1:]).mean(0)


def widths(text: str) -> list[int]:
    """`256,256`: the sizes of the hidden layers."""
    pieces = text.split(",")
    if not all(one.strip().isdecimal() and 0 < int(one) <= 65536 for one in pieces):
        raise CommandError(f"--hidden: {text!r} is not a list of sizes such as 256,256")
    return [int(one) for one in pieces]


@defense(family="ensemble", gradient="exact", members=True, learns=True, paper="Wang and Zhang")
def stack(
    model: nn.Module,
    members: Sequence[nn.Module],
    shape: tuple[int, int, int],
    classes: int,
    *,
    hidden: Annotated[str, Param("Sizes of the hidden layers.", form="N,...")] = "256,256",
    activation: Annotated[Literal["relu", "none"], Param("Activation function of the hidden layers.")] = "relu",
    recipe: Annotated[
        Literal["usual", "paper4"], Param("Usual weights and fit, or those of the paper's code: linear, N(0, 1), not shuffled.")
    ] = "usual",
) -> nn.Module:
    sizes = [classes * (1 + len(members)), *widths(hidden), classes]
    layers: list[nn.Module] = []
    curved = activation == "relu" and recipe == "usual"
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()] if curved else [nn.Linear(before, after)]
    learned = nn.Sequential(*layers[:-1] if curved else layers)
    if recipe == "paper4":
        for one in learned.parameters():
            nn.init.normal_(one)
    return Stacked(model, members, learned)
