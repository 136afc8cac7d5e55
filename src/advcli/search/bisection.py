"""The start of decision-based attacks: a random image beyond the boundary, and bisection back towards the original."""

import math

import torch
from torch import Tensor

from advcli.numerics.balls import per_sample
from advcli.numerics.rng import SampleRNG
from advcli.search.best import take
from advcli.search.goal import Goal
from advcli.search.victim import Victim

TRIES = 60
GRAINS = (1, 2, 4, 7, 1000)  # pixels of one colour, side by side


def is_adversarial(victim: Victim, goal: Goal, x: Tensor) -> Tensor:
    """(N,) whether the decision reaches the goal; False, without a query, if no query is left."""
    may = (victim.left() > 0).to(x.device)
    found = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    if bool(may.any()):
        who, aim, pictures = take(may, victim, goal, x)
        found[may] = aim.met(who.sure_label(pictures))
    return found


def random_start(victim: Victim, goal: Goal, x: Tensor, rng: SampleRNG) -> tuple[Tensor, Tensor]:
    """A random image for every original that reaches its goal, and (N,) whether one was found."""
    found, met = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for number in range(TRIES):
        open_ = ~met & (victim.left() > 0).to(x.device)
        if not bool(open_.any()):
            break
        who, aim, original, draws = take(open_, victim, goal, x, rng)
        picture = noise(original, draws.fork("try", number), number)
        met[open_] = is_adversarial(who, aim, picture)
        found[open_] = picture
    return found, met


def noise(x: Tensor, rng: SampleRNG, number: int) -> Tensor:
    """Random images: with each grain size in turn, and in every other round of black and white only."""
    grain, (height, width) = GRAINS[number % len(GRAINS)], x.shape[2:]
    drawn = rng.uniform(x.shape[1], math.ceil(height / grain), math.ceil(width / grain))
    drawn = drawn.repeat_interleave(grain, 2).repeat_interleave(grain, 3)[:, :, :height, :width] if grain > 1 else drawn
    return (drawn > 0.5).to(x.dtype) if number // len(GRAINS) % 2 else drawn


def bisect_to_boundary(victim: Victim, goal: Goal, x: Tensor, point: Tensor, fine: float) -> Tensor:
    """The nearest point between each image and a point that reaches its goal, by bisection, that reaches it too."""
    near, far = torch.zeros(len(x), device=x.device), torch.ones(len(x), device=x.device)
    for _ in range(math.ceil(math.log2(1 / fine))):
        middle = (near + far) / 2
        met = is_adversarial(victim, goal, x + per_sample(middle, x) * (point - x))
        may = (victim.left() > 0).to(x.device)
        far, near = torch.where(met, middle, far), torch.where(met | ~may, near, middle)
    return torch.where(per_sample(far < 1, x), x + per_sample(far, x) * (point - x), point)
