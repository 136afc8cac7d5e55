"""Auto-PGD: projected gradient ascent with momentum and a step size that is halved when the ascent stalls; nothing to tune.

z = P(x_k + a steepest(grad f(x_k))), x_{k+1} = P(x_k + 0.75 (z - x_k) + 0.25 (x_k - x_{k-1})), a = 2 eps at first. At
the checkpoints w_j an image whose f rose in fewer than 75 % of the steps since w_{j-1}, or whose step was kept there and
whose best f is still the same, goes on from its best point with half the step. f is the cross-entropy, or another
objective such as dlr: the margin over the spread of the logits, which for two classes (towards a target, for two or
three) is the plain margin. With --targets there is a run for each of the most promising classes, chosen by the distance
to their linearised boundaries from the image (arXiv:2407.02240); the images that have fallen are left out of the next.
In l1 (arXiv:2103.01208) the steps go along few pixels, ever fewer, without momentum: a tenth of the steps in the ball itself,
then three tenths each in balls of 3 eps, of 2 eps, and in the ball again.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import accumulate, pairwise
from typing import Annotated

import torch
from torch import Tensor

from advcli.catalog.options import Norm, Objective, Steps
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.errors import CommandError
from advcli.numerics.balls import Ball, per_sample
from advcli.numerics.losses import dlr_between
from advcli.numerics.rng import SampleRNG
from advcli.search.best import Best, take
from advcli.search.goal import Goal
from advcli.search.leads import nearest_rivals
from advcli.search.sparse_ascent import SparseAscent
from advcli.search.victim import Victim

KEEP = 0.75  # of the way to z; the rest is the step before
ENOUGH = 0.75  # of the steps have to rise
PHASES = ((1, 0.1), (3, 0.3), (2, 0.3), (1, 0.3))  # in l1: radii in budgets, and shares of the steps
EVERY = 0.04  # of the steps: between two checkpoints in l1
FEW = 10  # steps, of which all are taken in the ball itself


def checkpoints(steps: int) -> list[int]:
    """0 and w_j = ceil(p_j steps) below `steps`: p_1 = 0.22, then each gap 0.03 shorter than the last, never below 0.06."""
    percent, gap, found = 0, 22, [0]
    while (place := -(-percent * steps // 100)) < steps:
        found += [place] if place > found[-1] else []
        percent, gap = percent + gap, max(gap - 3, 6)
    return found


@dataclass(slots=True)
class Ascent:
    """The state of the ascent of every image; can be indexed by a mask."""

    x: Tensor
    before: Tensor
    gradient: Tensor
    value: Tensor  # f(x)
    top: Tensor  # the best point, its gradient and its value
    top_gradient: Tensor
    top_value: Tensor
    step: Tensor
    rises: Tensor  # since the last checkpoint
    mark: Tensor  # the best value at the last checkpoint
    halved: Tensor  # at the last checkpoint

    @classmethod
    def start(cls, x: Tensor, gradient: Tensor, value: Tensor, step: Tensor) -> "Ascent":
        rises, halved = torch.zeros_like(value), torch.zeros_like(value, dtype=torch.bool)
        return cls(x, x, gradient, value, x, gradient, value, step, rises, value, halved)

    def __getitem__(self, mask: Tensor) -> "Ascent":
        return Ascent(**{one.name: getattr(self, one.name)[mask] for one in fields(self)})

    def move(self, ball: Ball, keep: float) -> Tensor:
        """The next point."""
        ahead = ball.along(self.x, self.gradient, self.step)
        if keep == 1:
            return ahead
        return ball.project(self.x + keep * (ahead - self.x) + (1 - keep) * (self.x - self.before))

    def arrive(self, x: Tensor, gradient: Tensor, value: Tensor, window: int) -> None:
        """Take a new point; with a window, the checkpoint after that many steps goes first."""
        stalled = self._stalled(window) if window else None
        higher = value > self.top_value
        self.top = torch.where(per_sample(higher, x), x, self.top)
        self.top_gradient = torch.where(per_sample(higher, x), gradient, self.top_gradient)
        self.top_value = torch.where(higher, value, self.top_value)
        if stalled is not None:
            x = torch.where(per_sample(stalled, x), self.top, x)
            gradient = torch.where(per_sample(stalled, x), self.top_gradient, gradient)
            value = torch.where(stalled, self.top_value, value)
        self.rises = self.rises + (value > self.value)
        self.x, self.before, self.gradient, self.value = x, self.x, gradient, value

    def _stalled(self, window: int) -> Tensor:
        stalled = (self.rises < ENOUGH * window) | (~self.halved & (self.top_value == self.mark))
        self.step = torch.where(stalled, self.step / 2, self.step)
        self.rises, self.mark, self.halved = torch.zeros_like(self.rises), self.top_value, stalled
        return stalled


@dataclass(frozen=True, slots=True)
class Climb:
    """What every image climbs; can be indexed by a mask."""

    goal: Goal
    objective: str
    rival: Tensor | None = None  # the class that the DLR loss is taken towards

    def __getitem__(self, mask: Tensor) -> "Climb":
        return Climb(self.goal[mask], self.objective, None if self.rival is None else self.rival[mask])

    def loss(self) -> Callable[[Tensor], Tensor]:
        rival = self.rival
        if rival is None:
            return self.goal.loss(self.objective)
        return self.goal.climb(lambda scores: dlr_between(scores, self.goal.label, rival))


@attack(family="iterated", kind="budget", norms=("linf", "l2", "l1"), access="gradient", random=True, paper="arXiv:2003.01690")
def apgd(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    eps: Tensor,
    *,
    rng: SampleRNG,
    early_stop: bool,
    norm: Norm = "linf",
    steps: Steps = 100,
    objective: Objective = "xent",
    random_start: Annotated[bool, Param("Start at a random point of the ball, or at the image.")] = True,
    targets: Annotated[
        int,
        Param(
            "Run once for each of the N other classes with the nearest boundaries, on the DLR loss towards it; any wrong "
            "class is a success. 0: one run on --objective.",
            low=0,
        ),
    ] = 0,
) -> Tensor:
    ball, best = Ball(x, eps, norm), Best(x, goal, early_stop)
    if not targets:
        ascend(victim, Climb(goal, objective), ball, best, steps, rng if random_start else None)
        return best.x
    if goal.targeted:
        raise CommandError("apgd: --targets tries several classes and --target asks for one; give only one of them")
    rivals = nearest_rivals(victim, x, goal, norm, targets)
    for number in range(rivals.shape[1]):
        live = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        live[best.open] = True
        if bool(live.any()):
            climb = Climb(goal, objective, rivals[:, number])[live]
            draws = rng.fork("target", number)[live] if random_start else None
            ascend(victim[live], climb, ball[live], best, steps, draws)
    return best.x


def ascend(victim: Victim, climb: Climb, ball: Ball, best: Best, steps: int, rng: SampleRNG | None) -> None:
    """One run of the open images; without draws it starts at the images."""
    if ball.norm == "l1":
        ascend_sparsely(victim, climb, ball, best, steps, rng)
        return
    marks = checkpoints(steps)
    windows = {last + 1: last - first for first, last in pairwise(marks)}
    x, ascent = ball.center if rng is None else ball.random_point(rng), None
    for k in range(steps):
        gradient, logits = victim.gradient(x, climb.loss(), best.done(climb.goal))
        live = best.offer(x, logits, climb.goal)
        value = climb.loss()(logits)
        victim, climb, ball, x, gradient, value = take(live, victim, climb, ball, x, gradient, value)
        if not len(x):
            return
        if ascent is None:
            ascent = Ascent.start(x, gradient, value, 2 * ball.radius)
        else:
            (ascent,) = take(live, ascent)
            ascent.arrive(x, gradient, value, windows.get(k, 0))
        x = ascent.move(ball, KEEP if k else 1.0)
    best.offer(x, victim(x), climb.goal)


def phases(steps: int) -> list[tuple[int, int]]:
    """The radius of each phase of a run in l1, in budgets, and its number of steps."""
    if steps < FEW:
        return [(1, steps)]
    ends = [round(share * steps) for share in accumulate(share for _, share in PHASES)]
    return [(times, end - begin) for (times, _), begin, end in zip(PHASES, [0, *ends], ends, strict=False)]


def ascend_sparsely(victim: Victim, climb: Climb, ball: Ball, best: Best, steps: int, rng: SampleRNG | None) -> None:
    """One run in l1, in several phases; only points of the ball itself are offered."""
    x, ascent, every = ball.center if rng is None else ball.random_point(rng), None, max(1, round(EVERY * steps))
    for number, (times, count) in enumerate(phases(steps)):
        wide = Ball(ball.center, times * ball.radius, "l1")
        x, ascent = x if ascent is None else wide.project(ascent.top), None
        for k in range(count):
            gradient, logits = victim.gradient(x, climb.loss(), best.done(climb.goal) if times == 1 else None)
            value = climb.loss()(logits)
            if times == 1:
                live = best.offer(x, logits, climb.goal)
                victim, climb, ball, wide, x, gradient, value = take(live, victim, climb, ball, wide, x, gradient, value)
                (ascent,) = (None,) if ascent is None else take(live, ascent)
                if not len(x):
                    return
            if ascent is None:
                ascent = SparseAscent.start(wide, x, gradient, value, first=number == 0)
            else:
                ascent.arrive(wide, x, gradient, value, checkpoint=k % every == 0)
            x = ascent.move(wide)
    best.offer(x, victim(x), climb.goal)
