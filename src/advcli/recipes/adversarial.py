"""Adversarial training: the images as they are, mixed with what an attack makes of them against the network as it is.

alpha J(x, y) + (1 - alpha) J(x', y), with x' from any budgeted or one-step attack (`--against`), which no gradient
passes through. With alpha 1 it is plain training, without an attack; with alpha 0 on adversarial images alone it is
Madry's (arXiv:1706.06083). The attack meets the network in evaluation mode, the loss in training mode, and both of its
terms under the same dropout. A large budget may keep a network at chance from the first step on: `--warmup` lets it
grow. One step without a random start (fgsm) is prone to be overfitted: the log has the first 500 validation images
after every epoch as they are, under FGSM and under PGD-10, and `--keep best` goes by the last.
"""

from typing import Annotated

from torch import Tensor, nn

from advcli.catalog.options import Against
from advcli.catalog.params import Param
from advcli.catalog.registry import recipe
from advcli.numerics.losses import cross_entropy
from advcli.numerics.rng import SampleRNG
from advcli.training.inner_attack import inner_attack


@recipe(family="adversarial", paper="arXiv:1412.6572")
def adversarial(
    model: nn.Module,
    x: Tensor,
    label: Tensor,
    *,
    rng: SampleRNG,
    epoch: float,
    against: Against = "pgd:steps=10",
    alpha: Annotated[float, Param("Weight of the images as they are; the attacked ones have the rest.", low=0, high=1)] = 0.5,
    warmup: Annotated[float, Param("Epochs over which the budget grows from nothing to its own.", low=0)] = 0.0,
) -> Tensor:
    if alpha == 1:
        return cross_entropy(model(x, rng), label)
    share = min(1.0, epoch / warmup) if warmup else 1.0
    attacked = inner_attack(against, x.shape[1]).attacked(model, x, label, rng.fork("opponent"), share=share)
    if alpha == 0:
        return cross_entropy(model(attacked, rng), label)
    return alpha * cross_entropy(model(x, rng), label) + (1 - alpha) * cross_entropy(model(attacked, rng), label)
