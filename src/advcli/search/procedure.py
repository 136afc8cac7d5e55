"""The procedure of a kind of attack: a form that every entry of `catalog.kinds` names, filled in by `search.kinds`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from advcli.catalog.kinds import KINDS, loaded
from advcli.catalog.registry import Bound
from advcli.numerics.balls import Ball
from advcli.search.goal import Goal


class Recorded(NamedTuple):
    """Points, and how a population came to them."""

    points: Tensor
    curves: Tensor  # (N, generations) the confidence after each
    genomes: list[bytes]  # what draws each again; empty if that is the picture itself


class Attempt(NamedTuple):
    """One proposal for some images at one budget."""

    budget: int
    todo: Tensor  # (images) mask
    point: Callable[[Ball], Tensor | Recorded]  # the point in the images' ball
    stage: int = 0  # which stage of a cascade makes it
    outwards: tuple[float, ...] | None = None  # how far it is pushed on, where that is not what its procedure says


@dataclass(frozen=True, slots=True)
class Procedure:
    """The functions that run a kind of attack."""

    point: Callable[..., Any]  # (method, victim, ball, goal, rng, early_stop=) -> the point of one call of the method
    attempts: Callable[..., Iterator[Attempt]]  # (job, attempts so far, victim, rng, early_stop=, refused=) over all budgets
    worth: Callable[[Goal, Tensor, Ball, Tensor], Tensor]  # (goal, logits, ball, point) -> (N,) larger is better
    outwards: tuple[float, ...] = ()  # how far a point is pushed on where rounding took its success away
    retries: bool = True  # works again on an image whose success the verdict refused
    improves: bool = False  # another restart may better an image that is won already
    few_calls: bool = False  # asks the model so little that a faster copy of it does not pay


def procedure_of(method: Bound) -> Procedure:
    """The procedure of a method's kind."""
    found: Procedure = loaded(KINDS[method.spec.traits.kind].procedure)
    return found
