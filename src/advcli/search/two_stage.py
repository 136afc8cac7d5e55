"""The inputs of attacks with a first stage: a model that gives labels only, a substitute, training images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from advcli.search.goal import Goal
from advcli.search.victim import Victim

Ask = Callable[[Tensor], Tensor]  # images -> the model's decisions, -1 for a rejection: all that it tells
Teach = Callable[[Tensor, Tensor, int], Victim]  # images, labels, epochs -> the substitute before these images, now wiser


@dataclass(frozen=True, slots=True)
class FittingImages:
    """Images for fitting one perturbation; they come in batches, in another order in every pass."""

    shape: tuple[int, int, int]
    batches: int  # of one pass
    device: torch.device
    pass_: Callable[[int], Iterator[tuple[Victim, Tensor, Goal]]]
