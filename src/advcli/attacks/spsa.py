"""SPSA: ascent with Adam along gradients that are estimated from scores at pairs of points, in random directions of signs.

g = 1/(2 delta K) sum_k (L(x + delta v_k) - L(x - delta v_k)) v_k with v_k in {-1, 1}^d; Adam moves the image along g, and the
result is projected into the linf ball. The paper's loss is the margin. Every point that is asked lies in the ball, and the
first that reaches the goal ends the search of its image; so does the image after each step, which is asked too: a step
costs 2K + 1 queries.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from advcli.catalog.options import Objective
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import Ball
from advcli.numerics.rng import SampleRNG
from advcli.search.differences import Differences, climbed, rademacher
from advcli.search.goal import Goal
from advcli.search.victim import Victim

FIRST, SECOND, TINY = 0.9, 0.999, 1e-8  # Adam's decay rates, and what its divisor is never below


@dataclass(frozen=True, slots=True)
class Adam:
    """Adam's running means of the gradients and of their squares."""

    mean: Tensor
    square: Tensor
    lr: float

    def __getitem__(self, mask: Tensor) -> "Adam":
        return Adam(self.mean[mask], self.square[mask], self.lr)

    def moved(self, ball: Ball, here: Tensor, slope: Tensor, step: int) -> tuple["Adam", Tensor]:
        mean, square = FIRST * self.mean + (1 - FIRST) * slope, SECOND * self.square + (1 - SECOND) * slope.square()
        move = mean / (1 - FIRST**step) / ((square / (1 - SECOND**step)).sqrt() + TINY)
        return Adam(mean, square, self.lr), ball.project(here + self.lr * move)


@attack(family="black box", kind="budget", norms=("linf",), access="scores", random=True, paper="arXiv:1802.05666")
def spsa(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    eps: Tensor,
    *,
    rng: SampleRNG,
    early_stop: bool,
    steps: Annotated[int, Param("Number of steps.", low=1)] = 200,
    samples: Annotated[int, Param("Pairs of points of each gradient; two queries each.", low=1, high=100_000)] = 64,
    delta: Annotated[float, Param("Distance of the points of a pair from the image, in every pixel.", low=1e-6, high=1)] = 0.01,
    lr: Annotated[float, Param("Learning rate of Adam: the length of its first step in every pixel.", low=1e-6, high=1)] = 0.01,
    objective: Objective = "margin",
) -> Tensor:
    ball, still = Ball(x, eps, "linf"), Adam(torch.zeros_like(x), torch.zeros_like(x), lr)
    estimate = Differences(rademacher, delta, samples, objective)
    return climbed(victim, goal, ball, estimate, still, rng=rng, steps=steps, early_stop=early_stop)
