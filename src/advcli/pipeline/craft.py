"""The heart of `attack`: one batch of images in, its rows of the adversarial set out.

An attack proposes, the verdict disposes: whatever a method returns is put into the ball, rounded if that was asked
for, and judged by one forward of the plain float32 model on the values that will be stored. A row that an early stop
left behind and the verdict refused goes back to work at full strength.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advcli.arrays import Array
from advcli.dataset import Dataset
from advcli.errors import AdvcliError, CommandError
from advcli.geometry import Ball
from advcli.grid import quantize
from advcli.numbers import Budget
from advcli.registry import Bound
from advcli.rng import SampleRNG
from advcli.victim import Goal, Tally, Victim


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that one attack run does to every batch."""

    model: nn.Module
    method: Bound
    norm: str
    budgets: tuple[Budget, ...]
    target: str | None
    label: str
    seed: int
    device: torch.device
    restarts: int = 1
    early_stop: bool = True
    eot: int = 1
    random_model: bool = False
    quantize: bool = False
    rounding: str = "nearest"
    half: bool = False
    store_bytes: bool = False

    @property
    def search_differs(self) -> bool:
        """Whether what the search saw may differ from the verdict."""
        return self.quantize or self.half or self.random_model

    def verdict(self, x: Tensor, ids: Tensor) -> Tensor:
        """Logits of the plain model on values as they are stored."""
        with torch.no_grad():
            logits: Tensor = self.model(x, SampleRNG(self.seed, ids, ("verdict",)))
        if not bool(torch.isfinite(logits).all()):
            raise AdvcliError("the model answers with numbers that are not finite; nothing can be said about it")
        return logits


def targets(job: Job, label: Tensor, logits: Tensor, ids: Tensor) -> list[Tensor | None]:
    """The target of every image, once for each row that it is to have; None for an untargeted attack."""
    classes, rule = logits.shape[1], job.target
    if rule is None:
        return [None]
    if rule == "next":
        return [(label + 1) % classes]
    if rule == "random":
        drawn = SampleRNG(job.seed, ids, ("target",)).below(torch.full_like(label, classes - 1))
        return [drawn + (drawn >= label)]
    if rule == "least-likely":
        own = nn.functional.one_hot(label, classes).bool()
        return [logits.masked_fill(own, torch.inf).argmin(1)]
    if rule == "other":
        return [k + (k >= label).long() for k in range(classes - 1)]
    if rule == "all":
        return [torch.full_like(label, k) for k in range(classes)]
    return [torch.full_like(label, int(rule))]


def craft(job: Job, data: Dataset, start: int, stop: int) -> dict[str, Array]:
    """The finished columns of one batch: rows by original, then target, then budget."""
    x, truth = (part.to(job.device) for part in data.batch(start, stop))
    ids = torch.from_numpy(data.index[start:stop]).to(job.device)
    clean = job.verdict(x, ids)
    decided = clean.argmax(1)
    label = torch.where(truth < 0, decided, truth) if job.label == "true" else decided
    right = (decided == truth) | (truth < 0)
    tally = Tally(len(x))
    wanted = targets(job, label, clean, ids)
    images, success, prediction = [], [], []
    for number, target in enumerate(wanted):
        goal = Goal(label if target is None else target, targeted=target is not None)
        busy = right if target is None else right & (target != label)
        points, won, decision = _rows(job, x, goal, busy, ids, tally, number)
        points[:, ~busy], won[:, ~busy], decision[:, ~busy] = x[~busy], False, decided[~busy]
        images.append(points)
        success.append(won)
        prediction.append(decision)
    budgets, each = len(job.budgets), len(wanted) * len(job.budgets)
    missing = torch.full_like(label, -1)
    columns = {
        "images": interleaved(images),
        "labels": truth.cpu().numpy().repeat(each),
        "index": data.index[start:stop].repeat(each),
        "originals": x.cpu().numpy(),
        "original": np.arange(start, start + len(x)).repeat(each),
        "target": interleaved([(missing if target is None else target).expand(budgets, -1) for target in wanted]),
        "epsilon": np.tile(np.array([b.value for b in job.budgets], np.float32), len(x) * len(wanted)),
        "success": interleaved(success).astype(np.uint8),
        "prediction": interleaved(prediction),
        "clean_prediction": decided.cpu().numpy().repeat(each),
        "queries": charged(tally.queries, each),
        "gradients": charged(tally.gradients, each),
    }
    if data.eight_bit:
        columns["originals"] = as_bytes(columns["originals"])
    if job.store_bytes:
        columns["images"] = as_bytes(columns["images"])
    return {name: np.ascontiguousarray(values) for name, values in columns.items()}


def interleaved(parts: list[Tensor]) -> Array:
    """One (budgets, images, ...) for each target -> (images x targets x budgets, ...): the order of the rows."""
    found: Array = torch.stack(parts).movedim(2, 0).flatten(0, 2).cpu().numpy()
    return found


def charged(counts: Tensor, each: int) -> Array:
    """What an image has cost, on its first row; 0 on the others."""
    found: Array = np.zeros((len(counts), each), np.int64)
    found[:, 0] = counts.numpy()
    return found.reshape(-1)


def as_bytes(pixels: Array) -> Array:
    """Pixels on the 8-bit grid as bytes."""
    found: Array = np.rint(pixels * 255).astype(np.uint8)
    return found


def _rows(job: Job, x: Tensor, goal: Goal, busy: Tensor, ids: Tensor, tally: Tally, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """(budgets, images) best point, success and decision for one target."""
    everyone = busy.nonzero()[:, 0]
    draws = SampleRNG(job.seed, ids[everyone], ("defense", str(number))) if job.random_model else None
    victim = Victim(job.model, tally, everyone.cpu(), draws, job.eot, job.half)
    board = Board(job, x[everyone], goal[everyone], ids[everyone])
    rng = SampleRNG(job.seed, ids[everyone], ("attack", str(number)))
    for restart in range(job.restarts):
        for budget, todo, propose in _proposals(job, board, rng.fork("restart", restart), victim, job.early_stop):
            board.offer(budget, todo, propose)
    if job.early_stop and job.search_differs and job.method.spec.traits.kind == "budget":
        for budget, todo, propose in _proposals(job, board, rng.fork("again"), victim, early_stop=False):
            board.offer(budget, todo, propose)
    shape = (len(job.budgets), len(x))
    points = x.expand(len(job.budgets), *x.shape).clone()
    won = torch.zeros(shape, dtype=torch.bool, device=x.device)
    decision = torch.zeros(shape, dtype=torch.int64, device=x.device)
    points[:, everyone], won[:, everyone], decision[:, everyone] = board.points, board.won, board.decision
    return points, won, decision


class Board:
    """The best attempt so far for every budget and image, as the verdict sees it."""

    def __init__(self, job: Job, x: Tensor, goal: Goal, ids: Tensor) -> None:
        self.job, self.x, self.goal, self.ids = job, x, goal, ids
        shape = (len(job.budgets), len(x))
        self.points = x.expand(len(job.budgets), *x.shape).clone()
        self.margin = torch.full(shape, -torch.inf, device=x.device)
        self.won = torch.zeros(shape, dtype=torch.bool, device=x.device)
        self.decision = torch.zeros(shape, dtype=torch.int64, device=x.device)

    def open(self, early_stop: bool) -> Tensor:
        """(budgets, images) what is still to be worked on."""
        return ~self.won if early_stop else torch.ones_like(self.won)

    def ball(self, budget: int, todo: Tensor) -> Ball:
        center = self.x[todo]
        return Ball(center, torch.full((len(center),), self.job.budgets[budget].value, device=center.device), self.job.norm)

    def offer(self, budget: int, todo: Tensor, propose: Callable[[Ball], Tensor]) -> None:
        """Judge one proposal for some images; keep it where it is deeper than what there was."""
        if not bool(todo.any()):
            return
        ball = self.ball(budget, todo)
        point = settle(self.job, ball, propose(ball))
        goal = self.goal[todo]
        logits = self.job.verdict(point, self.ids[todo])
        margin = goal.margin(logits)
        rows = todo.nonzero()[:, 0]
        better = (margin > self.margin[budget, rows]) & ~(self.won[budget, rows] & ~goal.reached(logits))
        kept = rows[better]
        self.points[budget, kept], self.margin[budget, kept] = point[better], margin[better]
        self.decision[budget, kept] = logits.argmax(1)[better]
        self.won[budget, kept] = goal.reached(logits)[better]


def settle(job: Job, ball: Ball, point: Tensor) -> Tensor:
    """A proposal as it will be stored: finite, in the ball, and on the 8-bit grid where that was asked for."""
    bad = ~torch.isfinite(point).flatten(1).all(1).view(-1, *[1] * (point.ndim - 1))
    point = torch.where(bad, ball.center, point)
    if job.norm != "raw":
        inside = ball.holds(point).view(-1, *[1] * (point.ndim - 1))
        point = torch.where(inside, point.clamp(0, 1), ball.project(point))
    return quantize(ball, point, job.rounding)[0] if job.quantize else point


def checked(job: Job, found: Any, like: Tensor) -> Tensor:
    """What a method returned, if it is what a method returns."""
    if not isinstance(found, Tensor) or found.shape != like.shape or not found.is_floating_point():
        has = f"a {found.dtype} of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise CommandError(f"{job.method.spec.name} returned {has}, expected a float tensor of shape {tuple(like.shape)}")
    return found.detach().to(like)


def _proposals(
    job: Job, board: Board, rng: SampleRNG, victim: Victim, early_stop: bool
) -> Iterator[tuple[int, Tensor, Callable[[Ball], Tensor]]]:
    """(budget, images, function of the ball) of one run of the method over all budgets."""
    if job.method.spec.traits.kind == "direction":
        todo = board.open(early_stop).any(0)
        if bool(todo.any()):
            direction = checked(
                job, job.method(victim[todo], board.x[todo].clone(), board.goal[todo], rng=rng[todo]), board.x[todo]
            )
            for budget in range(len(job.budgets)):
                yield budget, todo, lambda ball: ball.step(direction)
        return
    for budget, one in enumerate(job.budgets):
        todo = board.open(early_stop)[budget]
        if one.value == 0:
            yield budget, todo, lambda ball: ball.center
            continue

        def run(ball: Ball, todo: Tensor = todo) -> Tensor:
            args = (victim[todo], ball.center.clone(), board.goal[todo], ball.radius.clone())
            return checked(job, job.method(*args, rng=rng[todo], early_stop=early_stop), ball.center)

        yield budget, todo, run
