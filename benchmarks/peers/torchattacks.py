"""torchattacks."""

from collections.abc import Callable

import torch
import torchattacks
from torch import Tensor, nn

PACKAGE = "torchattacks"
NOTES = ("cw has one constant, c = 1, and no search for it; apgd takes one gradient more than its steps",)
BATCH = {"deepfool": 1, "jsma": 1}
LOOPS = {"pgd": (1, 5), "apgd": (5,)}

Attack = Callable[[Tensor, Tensor], Tensor]


def fgsm(model: nn.Module, *, eps: float) -> Attack:
    return torchattacks.FGSM(model, eps=eps)


def pgd(model: nn.Module, *, eps: float, steps: int, step_size: float) -> Attack:
    return torchattacks.PGD(model, eps=eps, alpha=step_size, steps=steps, random_start=True)


def pgd_loop(model: nn.Module, chunk: int, *, eps: float, steps: int, step_size: float) -> Attack:
    """What a careful user writes around it: `chunk` steps at a time, for the images that still resist."""
    some = torchattacks.PGD(model, eps=chunk * step_size, alpha=step_size, steps=chunk, random_start=False)

    def run(x: Tensor, y: Tensor) -> Tensor:
        z = (x + torch.empty_like(x).uniform_(-eps, eps)).clamp(0, 1)
        live = torch.arange(len(x))
        for _ in range(steps // chunk):
            z[live] = some(z[live], y[live]).clamp(x[live] - eps, x[live] + eps)
            with torch.no_grad():
                live = live[model(z[live]).argmax(1) == y[live]]
            if not len(live):
                break
        return z

    return run


def mim(model: nn.Module, *, eps: float, steps: int, step_size: float, decay: float) -> Attack:
    return torchattacks.MIFGSM(model, eps=eps, alpha=step_size, steps=steps, decay=decay)


def apgd(model: nn.Module, *, eps: float, steps: int, loss: str) -> Attack:
    return torchattacks.APGD(model, norm="Linf", eps=eps, steps=steps, n_restarts=1, loss=loss)


def apgd_loop(model: nn.Module, chunk: int, *, eps: float, steps: int, loss: str) -> Attack:
    """A few steps for all, and the whole attack for the images that still resist: its schedule bears no pause."""
    first, whole = (apgd(model, eps=eps, steps=many, loss=loss) for many in (chunk, steps))

    def run(x: Tensor, y: Tensor) -> Tensor:
        z = first(x, y)
        with torch.no_grad():
            live = model(z).argmax(1) == y
        if bool(live.any()):
            z[live] = whole(x[live], y[live])
            with torch.no_grad():
                model(z[live]).argmax(1).eq(y[live])
        return z

    return run


def deepfool(model: nn.Module, *, steps: int, overshoot: float) -> Attack:
    return torchattacks.DeepFool(model, steps=steps, overshoot=overshoot)


def cw(model: nn.Module, *, searches: int, steps: int, lr: float, const: float) -> Attack:
    """One constant and no search for it: the steps of all searches go to c = 1."""
    return torchattacks.CW(model, c=1, steps=searches * steps, lr=lr)


def fab(model: nn.Module, *, norm: str, steps: int) -> Attack:
    """One start; `eps` is only the radius of others."""
    return torchattacks.FAB(model, norm={"linf": "Linf", "l2": "L2"}[norm], eps=1e3, steps=steps, n_restarts=1)


def jsma(model: nn.Module, *, theta: float, gamma: float) -> Attack:
    """Its target is the next class already."""
    return torchattacks.JSMA(model, theta=theta, gamma=gamma)


def square(model: nn.Module, *, eps: float, queries: int) -> Attack:
    return torchattacks.Square(model, norm="Linf", eps=eps, n_queries=queries, n_restarts=1)


def spsa(model: nn.Module, *, eps: float, steps: int, pairs: int, delta: float, lr: float) -> Attack:
    return torchattacks.SPSA(model, eps=eps, delta=delta, lr=lr, nb_iter=steps, nb_sample=pairs)


def one_pixel(model: nn.Module, *, pixels: int, generations: int, population: int) -> Attack:
    return torchattacks.OnePixel(model, pixels=pixels, steps=generations, popsize=population)
