"""Fooling images: gradient ascent on the probability of a class, starting from noise or a plain colour.

x_{n+1} = Clip(x_n + a g / rms(g)) with g = grad log p_t(x_n) - 2 l (x_n - x_0) on the pixels that can still move, until
p_t reaches --confidence. The penalty l keeps the image close to its start. If the model can reject, the ascent also lowers
the detector's excess.
"""

from functools import partial
from typing import Annotated

from torch import Tensor

from advcli.catalog.options import Steps, StepSize
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.errors import CommandError
from advcli.networks.rejection import split
from advcli.numerics.balls import TINY, per_sample, room_to
from advcli.numerics.losses import cross_entropy
from advcli.numerics.quantities import step_length
from advcli.numerics.rng import SampleRNG
from advcli.search.best import Best, take
from advcli.search.goal import Goal
from advcli.search.victim import Victim


@attack(family="fooling", kind="generate", norms=("none",), access="gradient", targeted="only", paper="arXiv:1412.1897")
def fool_gradient(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    early_stop: bool,
    steps: Steps = 500,
    step_size: StepSize = "0.02",
    confidence: Annotated[float, Param("Stop at this probability of the target class.", low=0, high=1)] = 0.9999,
    penalty: Annotated[float, Param("Weight of the squared distance to the start.", low=0)] = 0.0,
) -> Tensor:
    length = step_length(step_size)
    if length.of_eps:
        raise CommandError(f"--step-size {step_size}: this method has no budget; give a length in pixel values, such as 0.02")
    best, start = Best(x, goal, early_stop), x
    for _ in range(steps):
        slope, logits = victim.gradient(x, partial(sureness, goal=goal))
        live = best.offer(x, logits, goal, sure(logits, goal, confidence))
        victim, goal, x, start, slope = take(live, victim, goal, x, start, slope)
        if not len(x):
            return best.x
        slope = slope - 2 * penalty * (x - start)
        slope = slope * (room_to(slope, x) > 0)
        size = slope.flatten(1).square().mean(1).sqrt().clamp_min(TINY)
        x = (x + length.factor * slope / per_sample(size, slope)).clamp(0, 1)
    best.offer(x, victim(x), goal)
    return best.x


def sureness(logits: Tensor, goal: Goal) -> Tensor:
    """The objective to maximize: the log-probability, minus a detector's excess."""
    scores, beyond = split(logits, goal.rejects)
    found = -cross_entropy(scores, goal.label)
    return found if beyond is None else found - beyond.clamp_min(0)


def sure(logits: Tensor, goal: Goal, confidence: float) -> Tensor:
    """(N,) whether the model classifies the image as the target, with at least the required probability."""
    scores, _ = split(logits, goal.rejects)
    return goal.reached(logits) & (scores.softmax(1).gather(1, goal.label[:, None])[:, 0] >= confidence)
