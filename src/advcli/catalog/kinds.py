"""The kinds of attack: the options that apply to each, and the functions that run it.

An entry holds all that the program knows about a kind; no other module tests for a kind by its name. Functions are written
`module:name` and imported when they are called, so that lists of methods and help need no torch.
"""

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of attack."""

    procedure: str  # a `search.procedure.Procedure`: how attempts are made, and what makes one better than another
    takes_budget: bool = False  # the user says how far an image may be moved
    from_images: bool = True  # starts from the user's images; otherwise from blank ones, one for every class
    joint: bool = False  # makes an image of every class by one search: a batch holds all of them
    stages: bool = False  # names other attacks, which run one after the other
    first_stage: str | None = None  # a `crafting.first_stage.FirstStage`: what is fitted before the first image


KINDS = {
    # names a direction, which is stepped once for every budget
    "direction": Kind("advcli.search.kinds:DIRECTION", takes_budget=True),
    # searches within a budget
    "budget": Kind("advcli.search.kinds:BUDGET", takes_budget=True),
    # runs other attacks within a budget, each on the images that resisted those before
    "cascade": Kind("advcli.search.cascade:CASCADE", takes_budget=True, stages=True),
    # comes as close as it can
    "minimal": Kind("advcli.search.kinds:MINIMAL"),
    # transforms the image; there is no norm and no budget
    "transform": Kind("advcli.search.kinds:FREE"),
    # makes images of target classes from noise or a plain colour; all of them come as one batch
    "generate": Kind("advcli.search.kinds:FREE", from_images=False),
    # the same by evolution of one population for all classes
    "evolve": Kind("advcli.search.kinds:FREE", from_images=False, joint=True),
    # trains a substitute on the model's answers, and runs another attack on it
    "substitute": Kind("advcli.search.kinds:BUDGET", takes_budget=True, first_stage="advcli.crafting.substitute:STAGE"),
    # fits one perturbation for all images
    "universal": Kind("advcli.search.kinds:SHARED", takes_budget=True, first_stage="advcli.crafting.universal:STAGE"),
    # adds what was fitted before, from its file
    "added": Kind("advcli.search.kinds:SHARED"),
}


def loaded(where: str) -> Any:
    """The object that a table names as `module:name`."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)
