"""advertorch."""

import importlib
from collections.abc import Callable

from torch import Tensor, nn

_gradcheck = importlib.import_module("torch.autograd.gradcheck")
_gradcheck.zero_gradients = None  # type: ignore[attr-defined]

from advertorch import attacks

PACKAGE = "advertorch"
PATCHES = ("imported with a stand-in for torch.autograd.gradcheck.zero_gradients, gone since torch 1.9; only FAB calls it",)
BATCH = {"jsma": 16}  # a table of all pairs of pixels for every image

Attack = Callable[[Tensor, Tensor], Tensor]


def fgsm(model: nn.Module, *, eps: float) -> Attack:
    return attacks.GradientSignAttack(model, eps=eps).perturb


def pgd(model: nn.Module, *, eps: float, steps: int, step_size: float) -> Attack:
    return attacks.LinfPGDAttack(model, eps=eps, nb_iter=steps, eps_iter=step_size, rand_init=True).perturb


def mim(model: nn.Module, *, eps: float, steps: int, step_size: float, decay: float) -> Attack:
    return attacks.LinfMomentumIterativeAttack(model, eps=eps, nb_iter=steps, eps_iter=step_size, decay_factor=decay).perturb


def cw(model: nn.Module, *, searches: int, steps: int, lr: float, const: float) -> Attack:
    given = {"learning_rate": lr, "binary_search_steps": searches, "max_iterations": steps, "initial_const": const}
    return attacks.CarliniWagnerL2Attack(model, 10, **given).perturb


def jsma(model: nn.Module, *, theta: float, gamma: float) -> Attack:
    attack = attacks.JacobianSaliencyMapAttack(model, 10, theta=theta, gamma=gamma)
    return lambda x, y: attack.perturb(x, (y + 1) % 10)


def spsa(model: nn.Module, *, eps: float, steps: int, pairs: int, delta: float, lr: float) -> Attack:
    given = {"eps": eps, "delta": delta, "lr": lr, "nb_iter": steps, "nb_sample": pairs}
    return attacks.LinfSPSAAttack(model, **given).perturb


def local_search(model: nn.Module, *, p: float, r: float, d: int, t: int, rounds: int, probes: int) -> Attack:
    given = {"p": p, "r": r, "d": d, "t": t, "round_ub": rounds, "max_nb_seeds": probes}
    return attacks.LocalSearchAttack(model, **given).perturb
