"""Attack a substitute: a network that learned from the model's answers alone. What fools it is then tried on the model.

The model labels some training images, and the substitute learns them. Then every image takes a step
x' = clip(x + l sign(dz_y/dx)) along the substitute's own score of its label, the model labels the new images too, and the
substitute learns on: n images cost n 2^(r-1) labels in r rounds.
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
    rounds: Annotated[int, Param("Rounds of learning; each doubles the images.", low=1, high=12)] = 6,
    epochs: Annotated[int, Param("Passes over the images in every round.", low=1)] = 10,
    lambda_: Annotated[float, Param("Length of the step to a new image, for each pixel.", low=0, high=1)] = 0.1,
    lambda_schedule: Annotated[
        Literal["constant", "wang-zhang"], Param("wang-zhang steps the other way in the first three rounds.")
    ] = "constant",
) -> None:
    label = ask(x)
    for done in range(rounds):
        known = label >= 0  # the model may reject
        if not bool(known.any()):
            raise AdvcliError("the model rejects every image that it is asked about; there is nothing to learn")
        x, label = x[known], label[known]
        substitute = teach(x, label, epochs)
        if done + 1 < rounds:
            length = -lambda_ if lambda_schedule == "wang-zhang" and done < BACK else lambda_
            further = (x + length * slope(substitute, x, label).sign()).clamp(0, 1)
            x, label = torch.cat([x, further]), torch.cat([label, ask(further)])


def slope(substitute: Victim, x: Tensor, label: Tensor) -> Tensor:
    """dz_y/dx: how the substitute's score of each image's label grows."""
    pieces = torch.arange(len(x), device=x.device).chunk(-(-len(x) // AT_ONCE))
    return -torch.cat([substitute[one].gradient(x[one], partial(logit, label=label[one]))[0] for one in pieces])
