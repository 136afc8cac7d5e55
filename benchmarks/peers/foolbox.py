"""Foolbox, through its PyTorch model."""

from collections.abc import Callable
from typing import Any

import foolbox
import torch
from foolbox import attacks
from torch import Tensor, nn

PACKAGE = "foolbox"
CHECKS = True  # an attack returns its success, from one forward more

Attack = Callable[[Tensor, Tensor], Tensor]


def fgsm(model: nn.Module, *, eps: float) -> Attack:
    return _at(attacks.LinfFastGradientAttack(), model, eps)


def fgsm_sweep(model: nn.Module, *, eps: list[float]) -> Attack:
    wrapped, attack = foolbox.PyTorchModel(model, bounds=(0, 1)), attacks.LinfFastGradientAttack()
    positive = [one for one in eps if one]

    def run(x: Tensor, y: Tensor) -> Tensor:
        _, found, _ = attack(wrapped, x, y, epsilons=positive)
        return torch.stack([x] * (len(eps) - len(positive)) + list(found))

    return run


def pgd(model: nn.Module, *, eps: float, steps: int, step_size: float) -> Attack:
    return _at(attacks.LinfPGD(abs_stepsize=step_size, steps=steps, random_start=True), model, eps)


def mim(model: nn.Module, *, eps: float, steps: int, step_size: float, decay: float) -> Attack:
    method = attacks.LinfMomentumIterativeFastGradientMethod
    return _at(method(momentum=decay, abs_stepsize=step_size, steps=steps, random_start=False), model, eps)


def deepfool(model: nn.Module, *, steps: int, overshoot: float) -> Attack:
    return _at(attacks.L2DeepFoolAttack(steps=steps, overshoot=overshoot, candidates=10), model, None)


def cw(model: nn.Module, *, searches: int, steps: int, lr: float, const: float) -> Attack:
    attack = attacks.L2CarliniWagnerAttack(
        binary_search_steps=searches, steps=steps, stepsize=lr, initial_const=const, abort_early=True
    )
    return _at(attack, model, None)


def hopskipjump(model: nn.Module, *, steps: int, first: int, most: int) -> Attack:
    attack = attacks.HopSkipJumpAttack(steps=steps, initial_gradient_eval_steps=first, max_gradient_eval_steps=most)
    return _at(attack, model, None)


def boundary(model: nn.Module, *, steps: int) -> Attack:
    return _at(attacks.BoundaryAttack(steps=steps), model, None)


def spatial(model: nn.Module, *, shift: int, shifts: int, angle: int, angles: int) -> Attack:
    attack = attacks.SpatialAttack(
        max_translation=shift, max_rotation=angle, num_translations=shifts, num_rotations=angles, grid_search=True
    )
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
    return lambda x, y: attack(wrapped, x, y)[1]


def _at(attack: Any, model: nn.Module, eps: float | None) -> Attack:
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
    return lambda x, y: attack(wrapped, x, y, epsilons=eps)[1]
