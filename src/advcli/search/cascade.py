"""Cascades of attacks: each stage works on the images that still resist, so cheap stages go first.

A method of this kind is not a search. It is called once, and names its stages as `--method` would be written, such as
"pgd:steps=10,objective=margin". Each stage is the method of that name with the draws that it would have alone, so it breaks at
least the images that it breaks alone. An image that is broken at one budget is broken at every larger one.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from advcli.catalog import discovery
from advcli.catalog.kinds import KINDS
from advcli.catalog.registry import Bound
from advcli.errors import CommandError
from advcli.numerics.balls import Ball
from advcli.numerics.rng import SampleRNG
from advcli.search.attempts import BestAttempts
from advcli.search.call import into_ball
from advcli.search.goal import Goal
from advcli.search.job import Job
from advcli.search.kinds import closed_by_smaller_budget, deepest, searched_at
from advcli.search.procedure import Attempt, Procedure, procedure_of
from advcli.search.victim import Victim


def stages_of(method: Bound, classes: int, *, random: bool) -> tuple[Bound, ...]:
    """The stages that a method names for a model with this many classes, each with its parameters fixed."""
    norm = str(method.parameters.get("norm", method.spec.traits.norms[0]))
    found = []
    for text in method(classes=classes, random=random):
        spec, typed = discovery.parse_method("attack", text)
        kind = KINDS[spec.traits.kind]
        if kind.first_stage or kind.stages or not kind.from_images or norm not in spec.traits.norms:
            raise CommandError(f"{method.spec.name}: {text} cannot be a stage: it needs another kind of attack, for {norm}")
        found.append(spec.bind({"norm": norm, **typed} if spec.option("norm") else typed))
    return tuple(found)


def spelled(stage: Bound) -> str:
    """A stage as text, with its non-default options; its norm is the cascade's."""
    changed = {one.name: stage.parameters[one.name] for one in stage.spec.options if stage.parameters[one.name] != one.default}
    words = ",".join(f"{name}={value}" for name, value in changed.items() if name != "norm")
    return f"{stage.spec.name}:{words}" if words else stage.spec.name


def stage_after_stage(
    job: Job, best: BestAttempts, victim: Victim, rng: SampleRNG, *, early_stop: bool, refused: bool = False
) -> Iterator[Attempt]:
    """Run every stage at the smallest budget, then on what resists at the next."""
    for budget, one in enumerate(job.budgets):
        if one.value == 0:
            yield Attempt(budget, best.open(budget, again=refused), lambda ball: ball.center)
            continue
        yield from closed_by_smaller_budget(best, budget)
        for number, stage in enumerate(job.stages):
            todo = best.open(budget, again=refused)
            run = searched_at(stage, best, victim, rng, budget, todo, early_stop=early_stop)
            yield Attempt(budget, todo, run, number, procedure_of(stage).outwards)


def all_stages(method: Bound, victim: Victim, ball: Ball, goal: Goal, rng: SampleRNG, *, early_stop: bool) -> Tensor:
    """The points of a cascade inside another method: those of the last stage if none has reached the goal."""
    point = ball.center.clone()
    logits = victim(point)
    todo = torch.ones(len(point), dtype=torch.bool, device=point.device)
    for stage in stages_of(method, logits.shape[1] - goal.rejects, random=False):
        find: Callable[..., Tensor] = procedure_of(stage).point
        found = into_ball(ball[todo], find(stage, victim[todo], ball[todo], goal[todo], rng[todo], early_stop=early_stop))
        point[todo] = found
        todo[todo.clone()] = ~goal[todo].reached(victim[todo](found))
        if not bool(todo.any()):
            break
    return point


CASCADE = Procedure(all_stages, stage_after_stage, deepest)
