"""Substitute attack: trains a substitute network on the model's decisions, attacks it, and transfers the result to the model.

The model labels some training images, and the substitute is trained on them. Then every image takes a step
x' = clip(x + l sign(dz_y/dx)) along the substitute's own logit of its label, the model labels the new images too, and the
substitute is trained further: n images need n 2^(r-1) labels in r rounds.
"""

from functools import partial
from typing import Annotated, Literal

import torch
from torch import Tensor

from advcli.catalog.options import StandInArch, StandInAttack
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.errors import AdvcliError
from advcli.numerics.losses import logit
from advcli.numerics.rng import SampleRNG
from advcli.search.two_stage import Ask, Teach
from advcli.search.victim import Victim

AT_ONCE = 256
BACK = 3  # rounds in which `wang-zhang` steps the other way


@attack(family="transfer", kind="substitute", norms=("linf",), access="labels", within=None, paper="arXiv:1602.02697")
def substitute(
    ask: Ask,
    x: Tensor,
    teach: Teach,
    *,
    rng: SampleRNG,
    attack: StandInAttack = "fgsm",
    arch: StandInArch = "cnn",
    rounds: Annotated[int, Param("Rounds of training; each doubles the images.", low=1, high=12)] = 6,
    epochs: Annotated[int, Param("Passes over the images in every round.", low=1)] = 10,
    lambda_: Annotated[float, Param("Change of each pixel in the step to a new image.", low=0, high=1)] = 0.1,
    lambda_schedule: Annotated[
        Literal["constant", "wang-zhang"],
        Param("Sign of the step by round; wang-zhang uses the opposite sign in the first three rounds."),
    ] = "constant",
) -> None:
    label = ask(x)
    for done in range(rounds):
        known = label >= 0  # the model may reject
        if not bool(known.any()):
            raise AdvcliError("the model rejects every training image of the substitute; there is nothing to learn")
        x, label = x[known], label[known]
        substitute = teach(x, label, epochs)
        if done + 1 < rounds:
            length = -lambda_ if lambda_schedule == "wang-zhang" and done < BACK else lambda_
            further = (x + length * slope(substitute, x, label).sign()).clamp(0, 1)
            x, label = torch.cat([x, further]), torch.cat([label, ask(further)])


def slope(substitute: Victim, x: Tensor, label: Tensor) -> Tensor:
    """dz_y/dx: the gradient of the substitute's logit of each image's label."""
    pieces = torch.arange(len(x), device=x.device).chunk(-(-len(x) // AT_ONCE))
    return -torch.cat([substitute[one].gradient(x[one], partial(logit, label=label[one]))[0] for one in pieces])
