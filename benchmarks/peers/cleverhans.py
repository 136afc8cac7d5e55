"""CleverHans, its PyTorch functions."""

from collections.abc import Callable

import numpy as np
from cleverhans.torch.attacks.carlini_wagner_l2 import carlini_wagner_l2
from cleverhans.torch.attacks.fast_gradient_method import fast_gradient_method
from cleverhans.torch.attacks.hop_skip_jump_attack import hop_skip_jump_attack
from cleverhans.torch.attacks.projected_gradient_descent import projected_gradient_descent
from cleverhans.torch.attacks.spsa import spsa as find_spsa
from torch import Tensor, nn

PACKAGE = "cleverhans"
BATCH = {"hopskipjump": 1}

Attack = Callable[[Tensor, Tensor], Tensor]


def fgsm(model: nn.Module, *, eps: float) -> Attack:
    return lambda x, y: fast_gradient_method(model, x, eps, np.inf, clip_min=0, clip_max=1, y=y)


def pgd(model: nn.Module, *, eps: float, steps: int, step_size: float) -> Attack:
    return lambda x, y: projected_gradient_descent(model, x, eps, step_size, steps, np.inf, clip_min=0, clip_max=1, y=y)


def cw(model: nn.Module, *, searches: int, steps: int, lr: float, const: float) -> Attack:
    given = {"lr": lr, "initial_const": const, "binary_search_steps": searches, "max_iterations": steps}
    return lambda x, y: carlini_wagner_l2(model, x, 10, y=y, **given)


def hopskipjump(model: nn.Module, *, steps: int, first: int, most: int) -> Attack:
    given = {"initial_num_evals": first, "max_num_evals": most, "num_iterations": steps, "batch_size": 128, "verbose": False}
    return lambda x, y: hop_skip_jump_attack(model, x, 2, **given)


def spsa(model: nn.Module, *, eps: float, steps: int, pairs: int, delta: float, lr: float) -> Attack:
    given = {"learning_rate": lr, "delta": delta, "spsa_samples": pairs, "clip_min": 0, "clip_max": 1}
    return lambda x, y: find_spsa(model, x, eps, steps, np.inf, y=y, **given)
