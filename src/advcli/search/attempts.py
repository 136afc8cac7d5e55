"""The best attempt so far for every image and budget, by the verdict; the job's procedure decides which of two is better.

Of a random model a point is judged in several draws: the one that reaches the goal in more of them is better, and an image is
done when its point reaches the goal in all of them. One draw alone would prefer what happens to succeed in that draw. What is
stored is the verdict in the first one.
"""

from dataclasses import replace

import torch
from torch import Tensor

from advcli.numerics.balls import Ball, per_sample
from advcli.search.goal import CLOSE, Goal
from advcli.search.job import Job
from advcli.search.observer import Observer
from advcli.search.procedure import Attempt, Recorded
from advcli.search.victim import Victim

Record = tuple[Tensor, bytes]  # how a point evolved: its confidence by generation, and its genome


class BestAttempts:
    """(budgets, images) points, decisions and successes."""

    def __init__(self, job: Job, x: Tensor, goal: Goal, ids: Tensor, decided: Tensor) -> None:
        self.job, self.x, self.goal, self.ids = job, x, goal, ids
        shape = (len(job.budgets), len(x))
        self.points = x.expand(len(job.budgets), *x.shape).clone()
        self.score = torch.full(shape, -torch.inf, dtype=torch.float64, device=x.device)
        self.success = torch.zeros(shape, dtype=torch.bool, device=x.device)
        self.decision = decided.expand(shape).clone()
        self.share = torch.zeros(shape, device=x.device)  # of the verdict's draws, in which the goal is reached
        self.close = torch.zeros(shape, dtype=torch.bool, device=x.device)  # to the boundary, on either side
        self.stage = torch.full(shape, -1, dtype=torch.int64, device=x.device)  # of a cascade, which one made the point
        self.spent = torch.zeros(shape, dtype=torch.int64)  # queries
        self.offered: dict[int, Record] = {}  # of the last attempt at each image
        self.records: dict[int, Record] = {}  # of the points that are kept
        self.on_the_way, self.rising = torch.zeros_like(self.success), torch.zeros_like(self.success)

    def search_goal(self, victim: Victim) -> Goal:
        """The goal during the search: a substitute never rejects."""
        return replace(self.goal, rejects=victim.rejects)

    @property
    def done(self) -> Tensor:
        """(budgets, images) the images whose point reaches the goal in every draw of the verdict."""
        return self.share == 1

    def open(self, budget: int, *, again: bool = False) -> Tensor:
        """(images) the images to work on that have queries left; with `again`, those whose success the verdict refused."""
        todo = ~self.done[budget] if self.job.stops or again else torch.ones_like(self.success[budget])
        if again and not self.job.search_differs:
            todo = todo & self.close[budget]
        if self.job.max_queries is None:
            return todo
        return todo & (self.spent[budget] < self.job.max_queries).to(todo.device)

    def ball(self, budget: int, todo: Tensor) -> Ball:
        """The ball of a budget around some images."""
        center = self.x[todo]
        radius = torch.full((len(center),), self.job.budgets[budget].value, device=center.device)
        return Ball(center, radius, self.job.norm, self.job.clip)

    def note(self, budget: int, todo: Tensor, seen: Observer) -> None:
        """Keep what was seen of some images in one call of an attack."""
        self.on_the_way[budget, todo] |= seen.reached
        self.rising[budget, todo] |= seen.rising

    def offer(self, attempt: Attempt) -> None:
        """Judge one proposal for some images; keep it if it is better than the best so far."""
        budget, todo, stage = attempt.budget, attempt.todo, attempt.stage
        if not bool(todo.any()):
            return
        ball = self.ball(budget, todo)
        found = attempt.point(ball)
        if isinstance(found, Recorded):
            self.offered.update(zip(todo.nonzero()[:, 0].tolist(), zip(found.curves, found.genomes, strict=True), strict=True))
            found = found.points
        point = self.job.settle(ball, found)
        self._judge(budget, todo, ball, point, stage)
        for share in self.job.outwards(attempt.outwards):
            left = ~self.done[budget, todo] & (point != ball.center).flatten(1).any(1)
            if not bool(left.any()):
                break
            further = torch.full((len(point),), share, device=point.device)
            pushed = ball.center + per_sample(further, point) * (point - ball.center)
            rows = todo.clone()
            rows[todo] = left
            self._judge(budget, rows, ball[left], self.job.settle(ball[left], pushed[left]), stage)

    def _judge(self, budget: int, todo: Tensor, ball: Ball, point: Tensor, stage: int) -> None:
        goal = self.goal[todo]
        drawn = self.job.verdicts(point, self.ids[todo])
        reached, rows = torch.stack([goal.reached(one) for one in drawn]), todo.nonzero()[:, 0]
        logits, share = drawn[0], reached.float().mean(0)
        worth = self.job.procedure.worth(goal, torch.stack(drawn).mean(0), ball, point)
        before = self.share[budget, rows]
        better = (share > before) | ((share == before) & (worth > self.score[budget, rows]))
        kept = rows[better]
        self.points[budget, kept], self.score[budget, kept] = point[better], worth[better]
        self.records.update((row, self.offered[row]) for row in kept.tolist() if row in self.offered)
        self.decision[budget, kept] = self.job.decide(logits)[better]
        self.success[budget, kept], self.share[budget, kept] = reached[0, better], share[better]
        self.stage[budget, kept] = stage
        self.close[budget, kept] = (goal.margin(logits).abs() <= CLOSE * logits.abs().amax(1))[better]
