"""Per-sample losses of logits and a class: each falls as the model grows surer of that class."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """-log softmax(z)_y."""
    return nn.functional.cross_entropy(logits, label, reduction="none")


def logit(logits: Tensor, label: Tensor) -> Tensor:
    """-z_y."""
    return -logits.gather(1, label[:, None])[:, 0]


def prob(logits: Tensor, label: Tensor) -> Tensor:
    """-softmax(z)_y."""
    return -logits.softmax(1).gather(1, label[:, None])[:, 0]


def margin(logits: Tensor, label: Tensor) -> Tensor:
    """max_{k != y} z_k - z_y: positive exactly where the model decides against y."""
    rival = logits.scatter(1, label[:, None], -torch.inf).amax(1)
    return rival + logit(logits, label)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "xent": cross_entropy,
    "logit": logit,
    "prob": prob,
    "margin": margin,
}
