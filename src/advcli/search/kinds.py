"""The procedures of the kinds of attack: how attempts are made, and which of two attempts is better.

Within a budget, the point with the larger margin is better; without a budget, the closer one of those that reach the goal, so
that a point that never reached it stays the original.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from advcli.catalog.registry import Bound
from advcli.numerics.balls import Ball, distance
from advcli.numerics.rng import SampleRNG
from advcli.search.attempts import BestAttempts
from advcli.search.call import checked_points
from advcli.search.goal import Goal
from advcli.search.job import Job
from advcli.search.observer import Observer
from advcli.search.procedure import Attempt, Procedure, Recorded, procedure_of
from advcli.search.victim import Victim

OUTWARDS = (1.002, 1.01, 1.03, 1.1)


def deepest(goal: Goal, logits: Tensor, ball: Ball, point: Tensor) -> Tensor:
    """The margin beyond the goal's boundary: larger is better."""
    return goal.margin(logits).to(torch.float64)


def closest(goal: Goal, logits: Tensor, ball: Ball, point: Tensor) -> Tensor:
    """Minus the distance to the original of a point that reaches the goal: larger is better."""
    return torch.where(goal.reached(logits), -distance(point, ball.center, ball.norm), -torch.inf)


def direction_of(method: Bound, victim: Victim, x: Tensor, goal: Goal, rng: SampleRNG) -> Tensor:
    """The direction of a one-step attack, which serves every budget."""
    return checked_points(method, method(victim, x.clone(), goal, rng=rng), x)


def one_step(method: Bound, victim: Victim, ball: Ball, goal: Goal, rng: SampleRNG, *, early_stop: bool) -> Tensor:
    """The step along the direction that a method found."""
    return ball.step(direction_of(method, victim, ball.center, goal, rng))


def searched(method: Bound, victim: Victim, ball: Ball, goal: Goal, rng: SampleRNG, *, early_stop: bool) -> Tensor | Recorded:
    """The points of a search without a budget; as a stage of a cascade it can ask within which distance a point suffices."""
    more = {"within": ball.radius.clone()} if "within" in method.spec.given else {}
    found = method(victim, ball.center.clone(), goal, rng=rng, **_given(method, ball, early_stop=early_stop), **more)
    if isinstance(found, Recorded):
        return found._replace(points=checked_points(method, found.points, ball.center))
    return checked_points(method, found, ball.center)


def searched_within(method: Bound, victim: Victim, ball: Ball, goal: Goal, rng: SampleRNG, *, early_stop: bool) -> Tensor:
    """The points of a search that is given the budget of each image."""
    given = _given(method, ball, early_stop=early_stop)
    found = method(victim, ball.center.clone(), goal, ball.radius.clone(), rng=rng, **given)
    return checked_points(method, found, ball.center)


def _given(method: Bound, ball: Ball, *, early_stop: bool) -> dict[str, bool]:
    """What the method asks to be told: whether to stop early, and whether its images may leave [0, 1]."""
    told = {"early_stop": early_stop, "unclipped": not ball.clip}
    return {name: value for name, value in told.items() if name in method.spec.given}


def along(
    job: Job, best: BestAttempts, victim: Victim, rng: SampleRNG, *, early_stop: bool, refused: bool = False
) -> Iterator[Attempt]:
    """One direction for all budgets, computed once."""
    todo = torch.stack([best.open(budget, again=refused) for budget in range(len(job.budgets))]).any(0)
    if bool(todo.any()):
        found = direction_of(job.method, victim[todo], best.x[todo], best.search_goal(victim)[todo], rng[todo])
        for budget in range(len(job.budgets)):
            yield Attempt(budget, todo, lambda ball: ball.step(found))


def each_budget(
    job: Job, best: BestAttempts, victim: Victim, rng: SampleRNG, *, early_stop: bool, refused: bool = False
) -> Iterator[Attempt]:
    """One call for every budget, or a single call for a method without budgets."""
    for budget, one in enumerate(job.budgets):
        todo = best.open(budget, again=refused)
        if one.value == 0:
            yield Attempt(budget, todo, lambda ball: ball.center)
        else:
            yield Attempt(budget, todo, searched_at(job.method, best, victim, rng, budget, todo, early_stop=early_stop))


def searched_at(
    method: Bound, best: BestAttempts, victim: Victim, rng: SampleRNG, budget: int, todo: Tensor, *, early_stop: bool
) -> Callable[[Ball], Tensor | Recorded]:
    """The search of a method for some images at one budget, as the ball's function that an attempt needs."""
    point = procedure_of(method).point

    def run(ball: Ball) -> Tensor | Recorded:
        asked, goal = _within(best, victim[todo], budget, todo), best.search_goal(victim)[todo]
        if best.job.observed and victim.model is best.job.searched:
            asked = replace(asked, observer=Observer(goal, ball, asked.rows, method.parameters.get("confidence", 0.0)))
        before = victim.tally.queries[asked.rows]
        found: Tensor | Recorded = point(method, asked, ball, goal, rng[todo], early_stop=early_stop)
        best.spent[budget, todo.cpu()] += victim.tally.queries[asked.rows] - before
        if asked.observer is not None:
            best.note(budget, todo, asked.observer)
        return found

    return run


def closed_by_smaller_budget(best: BestAttempts, budget: int) -> Iterator[Attempt]:
    """Offer the points that succeed at a smaller budget at this one too; they need no further queries."""
    values = [one.value for one in best.job.budgets]
    for smaller in sorted((k for k in range(len(values)) if values[k] < values[budget]), key=lambda k: -values[k]):
        todo = best.share[smaller] > best.share[budget]
        for stage in sorted(set(best.stage[smaller, todo].tolist())):
            some = todo & (best.stage[smaller] == stage)
            yield Attempt(budget, some, lambda ball, some=some, smaller=smaller: best.points[smaller, some], stage)  # type: ignore[misc]  # mypy infers no default


def _within(best: BestAttempts, victim: Victim, budget: int, todo: Tensor) -> Victim:
    """The victim with the number of queries that --max-queries leaves."""
    if best.job.max_queries is None:
        return victim
    return replace(victim, limit=victim.tally.queries[victim.rows] + best.job.max_queries - best.spent[budget, todo.cpu()])


def added(
    job: Job, best: BestAttempts, victim: Victim, rng: SampleRNG, *, early_stop: bool, refused: bool = False
) -> Iterator[Attempt]:
    """The universal perturbation of every budget."""
    assert job.shared is not None  # its first stage, or its file
    for budget, v in enumerate(job.shared):
        yield Attempt(budget, best.open(budget, again=refused), lambda ball, v=v: ball.center + v)  # type: ignore[misc]  # mypy infers no default


DIRECTION = Procedure(one_step, along, deepest, retries=False, few_calls=True)
BUDGET = Procedure(searched_within, each_budget, deepest)
MINIMAL = Procedure(searched, each_budget, closest, outwards=OUTWARDS, improves=True)
FREE = Procedure(searched, each_budget, deepest)
SHARED = Procedure(searched, added, deepest, retries=False)
