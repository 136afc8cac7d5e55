"""TRADES: cross-entropy on clean images, plus the KL divergence between the predictions at an image and near it.

J(x, y) + beta max_{x' in B(x, eps)} KL(p(x) || p(x')), per sample. The inner maximization starts at x + 0.001 N(0, 1),
because at x itself the divergence has no gradient; it runs in evaluation mode, and the loss is taken in training mode, with
gradients through both predictions. Zhang et al. 2019: beta 1 to 6; for grey images eps 0.3 in 40 steps of 0.01. With `--awp`
the loss is taken at weights that make it worse (AWP, arXiv:2004.05884).
"""

from typing import Annotated

from torch import Tensor, nn

from advcli.catalog.options import Awp, Norm, OneEps, Steps, StepSize
from advcli.catalog.params import Param
from advcli.catalog.registry import recipe
from advcli.numerics.balls import Ball
from advcli.numerics.losses import cross_entropy, divergence
from advcli.numerics.quantities import BUDGETS, budget, refuse_beyond
from advcli.numerics.rng import SampleRNG
from advcli.search.best import lengths
from advcli.training.inner_attack import eval_mode_victim
from advcli.training.worst_weights import Answer, at_worst_weights

NOISE = 0.001


@recipe(family="adversarial", paper="arXiv:1901.08573")
def trades(
    model: nn.Module,
    x: Tensor,
    label: Tensor,
    *,
    rng: SampleRNG,
    beta: Annotated[float, Param("Weight of the divergence.", low=0)] = 6.0,
    eps: OneEps = None,
    norm: Norm = "linf",
    steps: Steps = 10,
    step_size: StepSize = "2.5*eps/steps",
    awp: Awp = 0.0,
) -> Tensor:
    wanted = budget(eps or BUDGETS[norm][x.shape[1] == 3])
    refuse_beyond(norm, (wanted,), x[0].numel())
    radius = x.new_full((len(x),), wanted.value)
    ball, step = Ball(x, radius, norm), lengths(step_size, radius, steps)
    with eval_mode_victim(model, x, rng) as victim:
        calm = victim(x)
        attacked = ball.project(x + NOISE * rng.fork("noise").normal(*x.shape[1:]))
        for _ in range(steps):
            gradient, _ = victim.gradient(attacked, lambda logits: divergence(calm, logits))
            attacked = ball.along(attacked, gradient, step)

    def both(answer: Answer) -> Tensor:
        logits = answer(x, rng)
        return cross_entropy(logits, label) + beta * divergence(logits, answer(attacked, rng))

    return at_worst_weights(model, awp, both)
