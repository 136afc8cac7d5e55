"""The optimizer, the learning rate schedule, and frozen layers."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from advcli.errors import CommandError
from advcli.training.training_options import TrainingOptions

WARM, COLD = 0.3, 1e-3  # of one-cycle: the share that warms up, and where it ends


def optimizer(options: TrainingOptions, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """sgd, adam or adamw over the trained parameters."""
    wanted = [one for one in parameters if one.requires_grad]
    if not wanted:
        raise CommandError("--freeze-until leaves nothing to train; name an earlier layer")
    rate, decay = options.lr, options.weight_decay
    if options.optimizer == "sgd":
        return torch.optim.SGD(wanted, rate, options.momentum, weight_decay=decay, fused=True)
    made = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return made(wanted, rate, weight_decay=decay, fused=True)


def lr_factor(schedule: str, step: int, total: int) -> float:
    """The factor of the learning rate at a step."""
    done = step / max(1, total)
    if schedule == "step":
        return 0.1 ** ((done >= 0.5) + (done >= 0.75))
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "onecycle":
        if done < WARM:
            return 0.04 + 0.96 * done / WARM
        return COLD + (1 - COLD) * 0.5 * (1 + math.cos(math.pi * (done - WARM) / (1 - WARM)))
    return 1.0


def freeze(network: nn.Module, until: str | None) -> list[nn.Module]:
    """The layers before a layer, which are frozen; their batch-norm statistics are frozen too."""
    if until is None:
        return []
    names = [name for name, _ in network.named_children()]
    if until not in names:
        raise CommandError(f"--freeze-until {until}: the layers are {', '.join(names)}")
    frozen = [child for name, child in network.named_children() if names.index(name) < names.index(until)]
    for child in frozen:
        child.requires_grad_(False)
    return frozen
