"""One call of an attack: the target classes before it, and the checks of its result.

The result of an attack is only a proposal: it is made finite and projected into the ball, for the verb `attack` and for
training alike.
"""

from typing import Any

import torch
from torch import Tensor, nn

from advcli.catalog.registry import Bound
from advcli.errors import CommandError
from advcli.numerics.balls import FREE, Ball
from advcli.numerics.losses import fewest_classes
from advcli.numerics.rng import SampleRNG


def target_classes(rule: str, label: Tensor, logits: Tensor, rng: SampleRNG) -> Tensor:
    """(N,) the target class of each image: random, next, least-likely, or a class by its number."""
    classes = logits.shape[1]
    if rule == "next":
        return (label + 1) % classes
    if rule == "random":
        drawn = rng.below(torch.full_like(label, classes - 1))
        return drawn + (drawn >= label)
    if rule == "least-likely":
        own = nn.functional.one_hot(label, classes).bool()
        return logits.masked_fill(own, torch.inf).argmin(1)
    return torch.full_like(label, int(rule))


def classes_needed(method: Bound, *, targeted: bool) -> int:
    """The number of classes from which on a method climbs the loss that its options name."""
    given = method.parameters
    if "objective" not in given:
        return 2
    towards = bool(given.get("targets"))  # on the DLR loss, whatever the objective
    return fewest_classes("dlr" if towards else str(given["objective"]), towards=towards or targeted)


def checked_points(method: Bound, found: Any, like: Tensor) -> Tensor:
    """The points that a method returned; refused if they have another type or shape."""
    if not isinstance(found, Tensor) or found.shape != like.shape or not found.is_floating_point():
        has = f"a {found.dtype} of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise CommandError(f"{method.spec.name} returned {has}, expected a float tensor of shape {tuple(like.shape)}")
    return found.detach().to(like)


def into_ball(ball: Ball, point: Tensor) -> Tensor:
    """A proposal made finite and projected into the ball."""
    bad = ~torch.isfinite(point).flatten(1).all(1).view(-1, *[1] * (point.ndim - 1))
    point = ball.in_range(torch.where(bad, ball.center, point))
    if ball.norm in FREE or not bool(ball.radius.isfinite().all()):
        return point
    inside = ball.holds(point)
    if bool(inside.all()):
        return point
    return torch.where(inside.view(-1, *[1] * (point.ndim - 1)), point, ball.project(point))
