"""Iterative least-likely class method: small signed gradient steps towards the class that the model thinks least likely.

x_{n+1} = Clip_{x,eps}(x_n - a sign(grad J(x_n, y_LL))), y_LL = argmin_y p(y | x) of the clean image, a = 1/255, and
ceil(min(eps + 4, 1.25 eps)) steps with eps in grey levels: these are the defaults, and `--preset paper` holds them.
Another `--target` replaces y_LL.
"""

from typing import Annotated

from torch import Tensor

from advcli.attacks.bim import bim
from advcli.catalog.options import StepSize
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from advcli.search.victim import Victim


@attack(
    family="iterated",
    kind="budget",
    norms=("linf",),
    access="gradient",
    targeted="only",
    target="least-likely",
    presets={"paper": {"steps": None, "step_size": "1/255"}},
    paper="arXiv:1607.02533",
)
def illc(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    eps: Tensor,
    *,
    rng: SampleRNG,
    early_stop: bool,
    steps: Annotated[int | None, Param("Steps. [default: min(eps + 4, 1.25 eps) in grey levels]", low=1)] = None,
    step_size: StepSize = "1/255",
) -> Tensor:
    return bim(victim, x, goal, eps, rng=rng, early_stop=early_stop, steps=steps, step_size=step_size)
