"""Adversarial weight perturbation: a loss at the weights that make it worst, a small distance away.

v = gamma |w| g / |g| for each weight of more than one dimension, with g the gradient of the mean loss at w; the loss at w + v
is returned with its gradient to w, v taken as constant (Wu et al. 2020, one step). The statistics of batch norm follow the
pass at w + v only.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from advcli.numerics.rng import SampleRNG

TINY = 1e-12
Answer = Callable[[Tensor, SampleRNG], Tensor]  # images and draws -> logits


def at_worst_weights(model: nn.Module, gamma: float, loss: Callable[[Answer], Tensor]) -> Tensor:
    """(N,) the loss at the perturbed weights; with gamma 0 at the weights as they are."""
    if not gamma or not torch.is_grad_enabled():
        return loss(model)
    weights = {name: one for name, one in model.named_parameters() if one.requires_grad}
    moved = [name for name, one in weights.items() if one.ndim > 1]
    buffers = {name: one.clone() for name, one in model.named_buffers()}

    def beside(x: Tensor, rng: SampleRNG) -> Tensor:
        found: Tensor = functional_call(model, buffers, (x, rng))
        return found

    slopes = torch.autograd.grad(loss(beside).mean(), [weights[name] for name in moved], allow_unused=True)
    worst = {
        name: weights[name] + gamma * weights[name].detach().norm() * slope / (slope.norm() + TINY)
        for name, slope in zip(moved, slopes, strict=True)
        if slope is not None
    }

    def there(x: Tensor, rng: SampleRNG) -> Tensor:
        found: Tensor = functional_call(model, worst, (x, rng))
        return found

    return loss(there)
