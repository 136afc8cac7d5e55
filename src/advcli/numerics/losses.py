"""Per-sample losses of logits and a class: each falls as the model becomes surer of that class."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

TINY = 1e-12


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """-log softmax(z)_y."""
    return nn.functional.cross_entropy(logits, label, reduction="none")


def log_odds(logits: Tensor, label: Tensor) -> Tensor:
    """log((1 - p_y) / p_y): the cross-entropy is log(1 + e^this), and is flat where the model is sure of y."""
    return logits.scatter(1, label[:, None], -torch.inf).logsumexp(1) + logit(logits, label)


def logit(logits: Tensor, label: Tensor) -> Tensor:
    """-z_y."""
    return -logits.gather(1, label[:, None])[:, 0]


def prob(logits: Tensor, label: Tensor) -> Tensor:
    """-softmax(z)_y."""
    return -logits.softmax(1).gather(1, label[:, None])[:, 0]


def margin(logits: Tensor, label: Tensor) -> Tensor:
    """max_{k != y} z_k - z_y: positive exactly if the model decides against y."""
    rival = logits.scatter(1, label[:, None], -torch.inf).amax(1)
    return rival + logit(logits, label)


def dlr(logits: Tensor, label: Tensor) -> Tensor:
    """The margin over z_(1) - z_(3), invariant to the scale of the logits (arXiv:2003.01690); for two classes, the margin."""
    if logits.shape[1] < 3:
        return margin(logits, label)
    top = logits.topk(3).values
    return margin(logits, label) / (top[:, 0] - top[:, 2] + TINY)


def dlr_towards(logits: Tensor, target: Tensor) -> Tensor:
    """The margin over z_(1) - (z_(3) + z_(4)) / 2, which is not constant if the target is third; below four classes the margin.
    The margin is that of the largest other logit, whichever class it belongs to at that point.
    """
    if logits.shape[1] < 4:
        return margin(logits, target)
    top = logits.topk(4).values
    return margin(logits, target) / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + TINY)


def dlr_between(logits: Tensor, label: Tensor, target: Tensor) -> Tensor:
    """z_target - z_label over z_(1) - (z_(3) + z_(4)) / 2, the targeted DLR loss of the paper. Of three classes over z_(1) -
    z_(3) taken as a constant, for with its slope the loss is level where the target is third; of two the plain gap."""
    gap = (logits.gather(1, target[:, None]) - logits.gather(1, label[:, None]))[:, 0]
    if logits.shape[1] < 3:
        return gap
    top = logits.topk(min(4, logits.shape[1])).values
    if logits.shape[1] == 3:
        return gap / (top[:, 0] - top[:, 2] + TINY).detach()
    return gap / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + TINY)


def fewest_classes(objective: str, *, towards: bool) -> int:
    """The number of classes from which on an objective is the loss of its name; below, the DLR loss is the margin."""
    return (4 if towards else 3) if objective == "dlr" else 2


def divergence(logits: Tensor, other: Tensor) -> Tensor:
    """KL(softmax(z) || softmax(z')), summed over the classes of each sample."""
    pairs = other.log_softmax(1), logits.log_softmax(1)
    return nn.functional.kl_div(*pairs, reduction="none", log_target=True).sum(1)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "xent": cross_entropy,
    "logit": logit,
    "prob": prob,
    "margin": margin,
    "dlr": dlr,
}
TOWARDS = {**LOSSES, "dlr": dlr_towards}  # of a target: climbed with a minus
