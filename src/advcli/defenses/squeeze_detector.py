"""Rejects images whose predicted probabilities change under feature squeezing: on clean images they hardly change.

s(x) = max over squeezers of ||softmax z(x) - softmax z(squeeze(x))||_1, in [0, 2]; the threshold is set on validation
images. Each squeezer is one of `squeeze`: bits:1, median:2x2, nlm:11-3-4. Rounding passes the gradient straight through (BPDA).
"""

from typing import Annotated

import torch
from torch import Tensor, nn

from advcli.catalog.options import Fpr
from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.defenses.squeeze import Squeezer, nonlocal_of, squeezed, window
from advcli.errors import CommandError
from advcli.networks.rejection import Rejecting
from advcli.numerics.rng import SampleRNG


def read(text: str) -> list[Squeezer]:
    """The squeezers of a text such as `bits:1,median:2x2`."""
    found: list[Squeezer] = []
    for piece in text.split(","):
        word, _, value = piece.strip().partition(":")
        if word == "bits" and value.isdecimal() and 1 <= int(value) <= 8:
            found.append(Squeezer(bits=int(value)))
        elif word == "median":
            found.append(Squeezer(median=window(value)))
        elif word == "nlm":
            found.append(Squeezer(nlm=nonlocal_of(value)))
        else:
            raise CommandError(f"--squeezers: {piece!r} is none of bits:N (1 to 8), median:HxW and nlm:N-N-N")
    return found


class Squeezing(Rejecting):
    """A model and its predictions on squeezed images."""

    def __init__(self, model: nn.Module, squeezers: list[Squeezer]) -> None:
        super().__init__(model)
        self.squeezers = squeezers
        self.copies = 1 + len(squeezers)

    def highest(self, classes: int) -> float:
        return 2.0

    def suspicion(self, x: Tensor, scores: Tensor, draws: SampleRNG | None) -> Tensor:
        """(N,) the largest change of the probabilities over the squeezers."""
        before, after = scores.softmax(1), [self.ask(squeezed(x, one), draws).softmax(1) for one in self.squeezers]
        return torch.stack([(before - one).abs().sum(1) for one in after]).amax(0)


@defense(family="detector", gradient="surrogate", rejects=True, paper="arXiv:1704.01155")
def squeeze_detector(
    model: nn.Module,
    *,
    squeezers: Annotated[
        str, Param("Squeezers to compare with: bits:N, median:HxW, nlm:N-N-N, or several.", form="WORD,...")
    ] = "bits:1,median:2x2",
    fpr: Fpr = 0.05,
) -> nn.Module:
    return Squeezing(model, read(squeezers))
