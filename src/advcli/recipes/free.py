"""Free adversarial training: each batch is replayed, and one gradient moves both the weights and the perturbation.

J(f(x + delta), y); after each backward pass delta <- project(delta + step sign(gradient at x + delta)), which the next replay
is trained on: an adversarial image costs no pass of its own. delta begins at 0 in every epoch and is handed from batch to
batch. One of --epochs shows every image --replays times: Shafahi et al. 2019 divide the epochs by it. The gradient is that of
training mode; with an augmentation, the replays of a batch see the same crops.
"""

from typing import Annotated

import torch
from torch import Tensor, nn

from advcli.catalog.options import Norm, OneEps, StepSize
from advcli.catalog.params import Param
from advcli.catalog.registry import recipe
from advcli.numerics.balls import Ball
from advcli.numerics.losses import cross_entropy
from advcli.numerics.quantities import BUDGETS, budget, refuse_beyond
from advcli.numerics.rng import SampleRNG
from advcli.search.best import lengths


@recipe(family="adversarial", paper="arXiv:1904.12843")
def free(
    model: nn.Module,
    x: Tensor,
    label: Tensor,
    *,
    rng: SampleRNG,
    carried: dict[str, Tensor],
    replays: Annotated[int, Param("How often each batch is trained on before the next.", low=1)] = 8,
    eps: OneEps = None,
    norm: Norm = "linf",
    step_size: StepSize = "eps",
) -> Tensor:
    wanted = budget(eps or BUDGETS[norm][x.shape[1] == 3])
    refuse_beyond(norm, (wanted,), x[0].numel())
    radius = x.new_full((len(x),), wanted.value)
    ball, step = Ball(x, radius, norm), lengths(step_size, radius, replays)
    before = carried.get("perturbation", torch.zeros_like(x))[: len(x)]
    attacked = ball.project(x + before).detach().requires_grad_()

    def climb(gradient: Tensor) -> None:
        carried["perturbation"] = ball.along(attacked.detach(), gradient, step) - x

    if torch.is_grad_enabled():
        attacked.register_hook(climb)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return cross_entropy(model(attacked, rng), label)
