"""Rejects adversarial images with a second network, which is trained to tell clean from adversarial images.

With the network's logit s for "attacked", the loss is log(1 + e^s(x)) + log(1 + e^-s(x')), where x' is made against the model
behind it (--against). s is the score, and the threshold is set on validation images. It detects the attack that it was
trained on, and fails against an attack that goes through it (Carlini and Wagner, arXiv:1705.07263).
"""

from typing import Annotated

import torch
from torch import Tensor, nn

from advcli.catalog.options import Fpr
from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.networks.fitting_batch import FittingBatch, new_network
from advcli.networks.rejection import Rejecting
from advcli.numerics.rng import SampleRNG

SMALL = 4  # pixels that a convolution needs
softplus = nn.functional.softplus


class Watched(Rejecting):
    """A model and a network that scores the image."""

    def __init__(self, model: nn.Module, learned: nn.Module) -> None:
        super().__init__(model)
        self.learned = learned

    def suspicion(self, x: Tensor, scores: Tensor, draws: SampleRNG | None) -> Tensor:
        """(N,) the logit for "attacked"."""
        return self.look(x)

    def look(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        both: Tensor = self.learned(x, draws)
        return both[:, 1] - both[:, 0]

    def fitting_loss(self, x: Tensor, batch: FittingBatch) -> Tensor:
        """(N,) the loss to minimize: clean images scored as attacked, and the reverse."""
        attacked = [softplus(-self.look(one, batch.rng.fork("attacked", k))) for k, one in enumerate(batch.against(self.model))]
        return softplus(self.look(x, batch.rng.fork("natural"))) + torch.stack(attacked).mean(0)


@defense(family="detector", gradient="exact", learns=True, rejects=True, paper="arXiv:1702.04267")
def detector(
    model: nn.Module,
    shape: tuple[int, int, int],
    classes: int,
    *,
    network: Annotated[
        str | None,
        Param("Architecture of the detector, as in cnn:width=16. [default: cnn, for tiny images mlp]", form="NAME"),
    ] = None,
    fpr: Fpr = 0.05,
) -> nn.Module:
    return Watched(model, new_network(network or ("cnn" if min(shape[1:]) >= SMALL else "mlp"), shape, 2))
