"""adv-lib (adversarial-library)."""

import sys
import types
from collections.abc import Callable

from torch import Tensor, nn

sys.modules.setdefault("visdom", types.ModuleType("visdom"))

from adv_lib import attacks

PACKAGE = "adv-lib"
PATCHES = ("imported with an empty module in place of visdom, its plotting server, which no attack here calls",)

Attack = Callable[[Tensor, Tensor], Tensor]


def pgd(model: nn.Module, *, eps: float, steps: int, step_size: float) -> Attack:
    return lambda x, y: attacks.pgd_linf(model, x, y, eps, steps=steps, absolute_step_size=step_size)


def apgd(model: nn.Module, *, eps: float, steps: int, loss: str) -> Attack:
    return lambda x, y: attacks.apgd(model, x, y, eps, norm=float("inf"), n_iter=steps, n_restarts=1, loss_function=loss)


def deepfool(model: nn.Module, *, steps: int, overshoot: float) -> Attack:
    return lambda x, y: attacks.df(model, x, y, steps=steps, overshoot=overshoot, norm=2)


def cw(model: nn.Module, *, searches: int, steps: int, lr: float, const: float) -> Attack:
    given = {"learning_rate": lr, "initial_const": const, "binary_search_steps": searches, "max_iterations": steps}
    return lambda x, y: attacks.carlini_wagner_l2(model, x, y, **given)


def fab(model: nn.Module, *, norm: str, steps: int) -> Attack:
    order = {"linf": float("inf"), "l2": 2.0}[norm]
    return lambda x, y: attacks.fab(model, x, y, order, n_iter=steps, restarts=1)
