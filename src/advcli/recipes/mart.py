"""MART: adversarial training that weighs images by how little the network is sure of them without attack.

BCE(p(x'), y) + beta KL(p(x) || p(x')) (1 - p(x)_y), with BCE(p, y) = -log p_y - log(1 - max_{k != y} p_k) and x' from any
budgeted or one-step attack (`--against`). The attack runs on the network in evaluation mode; the loss is taken in training
mode, with gradients through both predictions. Wang et al. 2020: beta 5; for grey images eps 0.3 in 40 steps of 0.01.
"""

from typing import Annotated

import torch
from torch import Tensor, nn

from advcli.catalog.options import Against, Warmup
from advcli.catalog.params import Param
from advcli.catalog.registry import recipe
from advcli.numerics.losses import cross_entropy, divergence
from advcli.numerics.rng import SampleRNG
from advcli.training.inner_attack import inner_attack


@recipe(family="adversarial", paper="ICLR 2020, openreview rklOg6EFwS")
def mart(
    model: nn.Module,
    x: Tensor,
    label: Tensor,
    *,
    rng: SampleRNG,
    epoch: float,
    against: Against = "pgd:steps=10",
    beta: Annotated[float, Param("Weight of the divergence.", low=0)] = 5.0,
    warmup: Warmup = 0.0,
) -> Tensor:
    share = min(1.0, epoch / warmup) if warmup else 1.0
    attacked = inner_attack(against, x.shape[1]).attacked(model, x, label, rng.fork("opponent"), share=share)
    calm, moved = model(x, rng), model(attacked, rng)
    unsure: Tensor = 1 - calm.softmax(1).gather(1, label[:, None])[:, 0]
    return boosted_cross_entropy(moved, label) + beta * divergence(calm, moved) * unsure


def boosted_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """-log p_y - log(1 - p_k) of the most probable other class k; 1 - p_k is summed over the other classes, not subtracted."""
    rival = logits.scatter(1, label[:, None], -torch.inf).argmax(1, keepdim=True)
    others = logits.scatter(1, rival, -torch.inf).logsumexp(1)
    boost: Tensor = logits.logsumexp(1) - others
    return cross_entropy(logits, label) + boost
