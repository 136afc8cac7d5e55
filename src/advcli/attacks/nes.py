"""NES: steps along the sign of a gradient that is estimated from scores at pairs of points, in random normal directions.

g = 1/(2 sigma K) sum_k (L(x + sigma u_k) - L(x - sigma u_k)) u_k with u_k ~ N(0, I), the antithetic estimate of natural
evolution strategies; m <- decay m + (1 - decay) g; x <- x + step sign(m), projected into the linf ball. Every point that is
asked lies in the ball, and the first that reaches the goal ends the search of its image; so does the image after each step,
which is asked too: a step costs 2K + 1 queries. The paper climbs a log-probability, which float32 rounds to a constant
where the model is sure; the default here is the margin.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from advcli.catalog.options import Objective, StepSize
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import Ball
from advcli.numerics.rng import SampleRNG
from advcli.search.best import lengths
from advcli.search.differences import Differences, climbed, gaussian
from advcli.search.goal import Goal
from advcli.search.victim import Victim


@dataclass(frozen=True, slots=True)
class Momentum:
    """A running mean of the gradients, and the length of a step."""

    mean: Tensor
    length: Tensor
    decay: float

    def __getitem__(self, mask: Tensor) -> "Momentum":
        return Momentum(self.mean[mask], self.length[mask], self.decay)

    def moved(self, ball: Ball, here: Tensor, slope: Tensor, step: int) -> tuple["Momentum", Tensor]:
        mean = self.decay * self.mean + (1 - self.decay) * slope
        return Momentum(mean, self.length, self.decay), ball.along(here, mean, self.length)


@attack(family="black box", kind="budget", norms=("linf",), access="scores", random=True, paper="arXiv:1804.08598")
def nes(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    eps: Tensor,
    *,
    rng: SampleRNG,
    early_stop: bool,
    steps: Annotated[int, Param("Number of steps.", low=1)] = 200,
    step_size: StepSize = "eps/10",
    samples: Annotated[int, Param("Pairs of points of each gradient; two queries each.", low=1, high=100_000)] = 25,
    sigma: Annotated[float, Param("Standard deviation of the points around the image.", low=1e-6, high=1)] = 0.001,
    decay: Annotated[float, Param("Weight of past gradients.", low=0, high=0.999)] = 0.9,
    objective: Objective = "margin",
) -> Tensor:
    still = Momentum(torch.zeros_like(x), lengths(step_size, eps, steps), decay)
    estimate = Differences(gaussian, sigma, samples, objective)
    return climbed(victim, goal, Ball(x, eps, "linf"), estimate, still, rng=rng, steps=steps, early_stop=early_stop)
