"""The Adversarial Robustness Toolbox, through its PyTorch classifier."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from art.attacks import evasion
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

PACKAGE = "adversarial-robustness-toolbox"
PATCHES = ("hopskipjump and boundary turn images into float64 under NumPy 2: predict casts them back for the float32 model",)
NOTES = ("spatial looks for one movement of the whole set, and takes the largest vertical shift from the number of channels",)
BATCH = {
    "hopskipjump": 1,
    "boundary": 1,
    "cw": 16,
    "simba": 1,
    "one_pixel": 1,
}  # loops over images, or too slow to be handed all at once
SIZE = 64

Attack = Callable[[Tensor, Tensor], Tensor]


def fgsm(model: nn.Module, *, eps: float) -> Attack:
    return _run(model, lambda net: evasion.FastGradientMethod(net, norm=np.inf, eps=eps, batch_size=SIZE))


def pgd(model: nn.Module, *, eps: float, steps: int, step_size: float) -> Attack:
    given = {"norm": np.inf, "eps": eps, "eps_step": step_size, "max_iter": steps, "num_random_init": 1}
    return _run(model, lambda net: evasion.ProjectedGradientDescentPyTorch(net, **given, batch_size=SIZE, verbose=False))


def mim(model: nn.Module, *, eps: float, steps: int, step_size: float, decay: float) -> Attack:
    given = {"norm": np.inf, "eps": eps, "eps_step": step_size, "max_iter": steps, "decay": decay}
    return _run(model, lambda net: evasion.MomentumIterativeMethod(net, **given, batch_size=SIZE, verbose=False))


def apgd(model: nn.Module, *, eps: float, steps: int, loss: str) -> Attack:
    kind = {"ce": "cross_entropy", "dlr": "difference_logits_ratio"}[loss]
    given = {"norm": np.inf, "eps": eps, "eps_step": 2 * eps, "max_iter": steps, "nb_random_init": 1, "loss_type": kind}
    return _run(model, lambda net: evasion.AutoProjectedGradientDescent(net, **given, batch_size=SIZE, verbose=False))


def deepfool(model: nn.Module, *, steps: int, overshoot: float) -> Attack:
    given = {"max_iter": steps, "epsilon": overshoot, "nb_grads": 10}
    return _run(model, lambda net: evasion.DeepFool(net, **given, batch_size=SIZE, verbose=False))


def cw(model: nn.Module, *, searches: int, steps: int, lr: float, const: float) -> Attack:
    given = {"binary_search_steps": searches, "max_iter": steps, "learning_rate": lr, "initial_const": const}
    return _run(model, lambda net: evasion.CarliniL2Method(net, **given, batch_size=SIZE, verbose=False))


def jsma(model: nn.Module, *, theta: float, gamma: float) -> Attack:
    run = _run(model, lambda net: evasion.SaliencyMapMethod(net, theta=theta, gamma=gamma, batch_size=SIZE, verbose=False))
    return lambda x, y: run(x, (y + 1) % 10)


def square(model: nn.Module, *, eps: float, queries: int) -> Attack:
    given = {"norm": np.inf, "eps": eps, "max_iter": queries, "nb_restarts": 1}
    return _run(model, lambda net: evasion.SquareAttack(net, **given, batch_size=SIZE, verbose=False))


def hopskipjump(model: nn.Module, *, steps: int, first: int, most: int) -> Attack:
    given = {"targeted": False, "norm": 2, "max_iter": steps, "init_eval": first, "max_eval": most}
    return _run(model, lambda net: evasion.HopSkipJump(net, **given, batch_size=SIZE, verbose=False))


def boundary(model: nn.Module, *, steps: int) -> Attack:
    return _run(model, lambda net: evasion.BoundaryAttack(net, targeted=False, max_iter=steps, batch_size=SIZE, verbose=False))


def spatial(model: nn.Module, *, shift: int, shifts: int, angle: int, angles: int) -> Attack:
    def attack(net: Any) -> Any:
        percent = 100 * shift / net.input_shape[-1]
        given = {"max_translation": percent, "num_translations": shifts, "max_rotation": angle, "num_rotations": angles}
        return evasion.SpatialTransformation(net, **given, verbose=False)

    return lambda x, y: _run(model, attack)(x, y)  # it remembers the movement of its first call: a new one every time


def simba(model: nn.Module, *, norm: str, eps: float, step: float, steps: int) -> Attack:
    """It has no budget: so many steps of this length stay within it."""
    sure = nn.Sequential(model, nn.Softmax(1))
    given = {"attack": "px", "max_iter": steps, "epsilon": step, "freq_dim": 1}
    run = _run(sure, lambda net: evasion.SimBA(net, **given, verbose=False))
    return lambda x, y: run(x, nn.functional.one_hot(y, 10))


def one_pixel(model: nn.Module, *, pixels: int, generations: int, population: int) -> Attack:
    """Its population is 400."""
    return _run(model, lambda net: evasion.PixelAttack(net, th=pixels, es=1, max_iter=generations))


def _run(model: nn.Module, attack: Callable[[Any], Any]) -> Attack:
    made: dict[tuple[int, ...], Any] = {}  # the wrapper wants a shape, and is made once

    def run(x: Tensor, y: Tensor) -> Tensor:
        shape = tuple(x.shape[1:])
        if shape not in made:
            net = PyTorchClassifier(
                model, nn.CrossEntropyLoss(), input_shape=shape, nb_classes=10, clip_values=(0, 1), device_type="cpu"
            )
            predict = net.predict
            net.predict = lambda x, **more: predict(x.astype(np.float32), **more)
            made[shape] = attack(net)
        return torch.from_numpy(made[shape].generate(x=x.numpy(), y=y.numpy()))

    return run
