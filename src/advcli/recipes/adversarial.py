"""Adversarial training: clean images, mixed with adversarial images made against the current network.

alpha J(x, y) + (1 - alpha) J(x', y), with x' from any budgeted or one-step attack (`--against`); no gradient flows through
x'. With alpha 1 it is plain training, without an attack; with alpha 0, on adversarial images alone, it is Madry's
(arXiv:1706.06083). The attack runs on the network in evaluation mode; the loss is taken in training mode, with the same
dropout masks in both terms. A large budget may keep a network at chance level from the first step on: `--warmup` increases
the budget gradually. One step without a random start (fgsm) is often overfitted: after every epoch the log has the accuracy
on the first 500 validation images, clean, under FGSM and under PGD-10, and `--keep best` uses the last of these. With `--awp`
the loss is taken at weights that make it worse (AWP, arXiv:2004.05884).
"""

from typing import Annotated

from torch import Tensor, nn

from advcli.catalog.options import Against, Awp, Warmup
from advcli.catalog.params import Param
from advcli.catalog.registry import recipe
from advcli.numerics.losses import cross_entropy
from advcli.numerics.rng import SampleRNG
from advcli.training.inner_attack import inner_attack
from advcli.training.worst_weights import Answer, at_worst_weights


@recipe(family="adversarial", paper="arXiv:1412.6572")
def adversarial(
    model: nn.Module,
    x: Tensor,
    label: Tensor,
    *,
    rng: SampleRNG,
    epoch: float,
    against: Against = "pgd:steps=10",
    alpha: Annotated[
        float, Param("Weight of the clean images; 1 - alpha is that of the adversarial images.", low=0, high=1)
    ] = 0.5,
    warmup: Warmup = 0.0,
    awp: Awp = 0.0,
) -> Tensor:
    share = min(1.0, epoch / warmup) if warmup else 1.0
    attacked = x if alpha == 1 else inner_attack(against, x.shape[1]).attacked(model, x, label, rng.fork("opponent"), share=share)

    def mixed(answer: Answer) -> Tensor:
        if alpha in (0, 1):
            return cross_entropy(answer(attacked, rng), label)
        return alpha * cross_entropy(answer(x, rng), label) + (1 - alpha) * cross_entropy(answer(attacked, rng), label)

    return at_worst_weights(model, awp, mixed)
