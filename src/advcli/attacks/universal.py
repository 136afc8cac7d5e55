"""Universal perturbation: one perturbation for all images, fitted on training images and added unchanged to others.

`sgd` (arXiv:1811.11304): v <- Project(v + a steepest(sum_i grad min(J(clip(x_i + v), y_i), cut))) with steps a that decrease
to zero; the cut removes images that are broken already from the sum. `deepfool` (arXiv:1610.08401): for every image that
x_i + v does not fool yet, the shortest step that fools it is added to v, and v is projected.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import torch
from torch import Tensor

from advcli.attacks.deepfool import deepfool
from advcli.catalog.options import StepSize
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.errors import CommandError
from advcli.numerics.balls import GEOMETRY, room_to, unit
from advcli.numerics.quantities import step_length
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from advcli.search.two_stage import FittingImages

BLIND = 1.3  # times the loss of who knows nothing
DETOUR = 20  # steps that deepfool may take for one image


@dataclass(frozen=True, slots=True)
class Reach:
    """The ball around zero that v stays in."""

    zero: Tensor
    radius: Tensor
    norm: Literal["linf", "l2"]

    def project(self, v: Tensor) -> Tensor:
        return GEOMETRY[self.norm].project(v, self.zero, self.radius)


@attack(family="universal", kind="universal", norms=("linf", "l2"), access="gradient", within=None, paper="arXiv:1610.08401")
def universal(
    images: FittingImages,
    eps: float,
    *,
    rng: SampleRNG,
    norm: Annotated[Literal["linf", "l2"], Param("Norm of the budget.")] = "linf",
    variant: Annotated[Literal["sgd", "deepfool"], Param("Fitting method; sgd is stronger.")] = "sgd",
    epochs: Annotated[int, Param("Passes over the images.", low=1)] = 10,
    step_size: StepSize = "eps/5",
    cut: Annotated[
        float | None, Param("With sgd: loss above which an image no longer contributes. [default: 1.3 ln(classes)]", low=0)
    ] = None,
) -> Tensor:
    v = torch.zeros(1, *images.shape, device=images.device)
    ball = Reach(v, torch.full((1, 1, 1, 1), eps, device=images.device), norm)
    if variant == "deepfool":
        return one_after_the_other(images, ball, epochs, rng)
    count = epochs * images.batches
    steps = iter([step_length(step_size).at(eps, count) * (1 - done / count) for done in range(count)])
    for epoch in range(epochs):
        for (victim, x, goal), step in zip(images.pass_(epoch), steps, strict=False):
            point = (x + v).clamp(0, 1)
            slope, _ = victim.gradient(point, partial(cut_off, goal=goal, cut=cut))
            pull = (slope * (room_to(slope, point) > 0)).sum(0, keepdim=True)
            v = ball.project(v + step * unit(pull, norm))
    return v


def cut_off(logits: Tensor, goal: Goal, cut: float | None) -> Tensor:
    """The loss of every image, constant above the cut."""
    return goal.loss("xent")(logits).clamp_max(BLIND * math.log(logits.shape[1]) if cut is None else cut)


def one_after_the_other(images: FittingImages, ball: Reach, epochs: int, rng: SampleRNG) -> Tensor:
    """Add, for every image that v does not fool yet, the shortest step that fools it."""
    v = ball.zero
    for epoch in range(epochs):
        for victim, x, goal in images.pass_(epoch):
            if goal.targeted:
                raise CommandError("--variant deepfool does not support --target; use --variant sgd")
            for k in (~goal.reached(victim((x + v).clamp(0, 1)))).nonzero():
                point = (x[k] + v).clamp(0, 1)
                found = deepfool(victim[k], point, goal[k], rng=rng, early_stop=True, norm=ball.norm, steps=DETOUR, refinements=0)
                v = ball.project(v + found - point)
    return v
