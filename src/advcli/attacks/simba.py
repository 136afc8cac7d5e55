"""SimBA: adds or subtracts one direction of an orthonormal basis after the other, and keeps what lowers the class's probability.

The directions q are single pixels or cosine waves (DCT) of single channels, in a random order for every image. x + s q is
asked, and x - s q if that did not lower the probability of the class. The paper bounds the queries, and with them the length
of the perturbation: T kept steps have at most the length s sqrt(T). Here the budget is an l2 ball, into which every point is
projected before it is asked. The paper's step of 0.2 is eps/10 at the default budget of grey images. After a pass over all
directions a new order is drawn, and if the pass kept nothing the step is halved. A step that changes nothing, at black or
white, is not asked.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from advcli.catalog.options import StepSize
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.errors import CommandError
from advcli.numerics.balls import Ball, per_sample
from advcli.numerics.rng import SampleRNG
from advcli.search.best import lengths, take
from advcli.search.goal import Goal
from advcli.search.scores import Deepest, odds
from advcli.search.victim import Victim

HALVINGS = 10  # of the step, before an image is given up


def cosines(size: int) -> Tensor:
    """(size, size) the orthonormal waves of the DCT-II, one a row, from the lowest frequency on."""
    place = torch.arange(size, dtype=torch.float64)
    waves = torch.cos(math.pi / size * (place + 0.5) * place[:, None]) * math.sqrt(2 / size)
    waves[0] /= math.sqrt(2)
    return waves.to(torch.float32)


@dataclass(frozen=True, slots=True)
class Basis:
    """Directions of images of a shape: a row of `down` times a row of `along`, in one channel."""

    shape: tuple[int, int, int]
    down: Tensor  # (h, H)
    along: Tensor  # (w, W)

    @classmethod
    def of(cls, name: str, shape: tuple[int, int, int], freq_dims: int | None, device: torch.device) -> "Basis":
        _, h, w = shape
        rows, columns = (cosines(h), cosines(w)) if name == "dct" else (torch.eye(h), torch.eye(w))
        return cls(shape, rows[:freq_dims].to(device), columns[:freq_dims].to(device))

    def __len__(self) -> int:
        return self.shape[0] * len(self.down) * len(self.along)

    def __getitem__(self, which: Tensor) -> Tensor:
        """(N, C, H, W) some of the directions."""
        channel, place = which // (len(self.down) * len(self.along)), which % (len(self.down) * len(self.along))
        wave = self.down[place // len(self.along), :, None] * self.along[place % len(self.along), None, :]
        one = torch.nn.functional.one_hot(channel, self.shape[0]).to(wave)
        return one[:, :, None, None] * wave[:, None]

    def ordered(self, rng: SampleRNG, order: str) -> Tensor:
        """(N, len) all directions: in a random order, or from low to high frequencies and random among equal ones."""
        key = rng.uniform(len(self))
        if order == "low":
            place = torch.arange(len(self), device=key.device) % (len(self.down) * len(self.along))
            key = key + place // len(self.along) + place % len(self.along)
        return key.argsort(1)


@attack(family="black box", kind="budget", norms=("l2",), access="scores", random=True, within=1.05, paper="arXiv:1905.07121")
def simba(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    eps: Tensor,
    *,
    rng: SampleRNG,
    early_stop: bool,
    steps: Annotated[int, Param("Queries for each image; --max-queries can lower it.", low=1)] = 5000,
    step_size: StepSize = "eps/10",
    basis: Annotated[Literal["pixel", "dct"], Param("Directions: single pixels, or cosine waves.")] = "pixel",
    freq_dims: Annotated[
        int | None, Param("With --basis dct: use the N lowest frequencies of each axis. [default: all]", low=1, form="N")
    ] = None,
    order: Annotated[Literal["random", "low"], Param("Order of the directions; low: low frequencies first.")] = "random",
) -> Tensor:
    if basis == "pixel" and (freq_dims or order == "low"):
        raise CommandError("--freq-dims and --order low are for --basis dct: pixels have no frequency")
    shape = (x.shape[1], x.shape[2], x.shape[3])
    ways, ball, best = Basis.of(basis, shape, freq_dims, x.device), Ball(x, eps, "l2"), Deepest(x, early_stop)
    rows, asks = torch.arange(len(x), device=x.device), victim.left().clamp(max=steps).to(x.device)
    victim, goal, ball, rng, rows, asks = take(asks > 1, victim, goal, ball, rng, rows, asks)
    if not len(rows):
        return best.x
    length = lengths(step_size, ball.radius, steps)
    state = Walk.start(ball.center, odds(goal)(victim(ball.center)), length, ways.ordered(rng.fork("order", 0), order))
    live = torch.ones_like(rows, dtype=torch.bool)
    while True:
        live = live & (state.asked < asks) & (state.halved <= HALVINGS)
        victim, goal, ball, rng, rows, asks, state = take(live, victim, goal, ball, rng, rows, asks, state)
        if not len(rows):
            return best.x
        new, value = ball.project(state.here + state.move(ways)), state.value.clone()
        moved = (new != state.here).flatten(1).any(1)
        live = torch.ones_like(moved)
        if bool(moved.any()):
            who, aim, points, lines = take(moved, victim, goal, new, rows)
            logits = who(points)
            live[moved] = ~best.offer(lines, points[:, None], logits[:, None], aim)
            value[moved] = odds(aim)(logits)
        state = state.after(new, value, moved, rng, ways, order)


@dataclass(frozen=True, slots=True)
class Walk:
    """Where each image stands, and which direction it tries next; can be indexed by a mask."""

    here: Tensor
    value: Tensor  # (N,) the log-odds of the goal there
    length: Tensor  # (N,) of a step
    order: Tensor  # (N, D) the directions of this pass
    turn: Tensor  # (N,) the place of the next one
    sign: Tensor  # (N,) 1, or -1 once that has been refused
    passes: Tensor
    keeps: Tensor  # (N,) steps that this pass has kept
    halved: Tensor
    asked: Tensor

    @classmethod
    def start(cls, x: Tensor, value: Tensor, length: Tensor, order: Tensor) -> "Walk":
        none = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return cls(x, value, length, order, none, torch.ones_like(length), none, none, none, asked=none + 1)

    def __getitem__(self, mask: Tensor) -> "Walk":
        return Walk(*(getattr(self, name)[mask] for name in self.__slots__))

    def move(self, ways: Basis) -> Tensor:
        which = self.order.gather(1, self.turn[:, None])[:, 0]
        return per_sample(self.sign * self.length, self.here) * ways[which]

    def after(self, new: Tensor, value: Tensor, moved: Tensor, rng: SampleRNG, ways: Basis, order: str) -> "Walk":
        """The state after an answer: the other sign, or the next direction, or the next pass."""
        kept = value > self.value
        onwards = kept | (self.sign < 0)
        sign, turn, keeps = torch.where(onwards, 1.0, -1.0), self.turn + onwards, self.keeps + kept
        over = turn >= self.order.shape[1]
        passes, halved, orders = self.passes + over, self.halved + (over & (keeps == 0)), self.order
        for number in sorted(set(passes[over].tolist())):
            some = over & (passes == number)
            orders = orders.index_put((some,), ways.ordered(rng[some].fork("order", number), order))
        length = torch.where(over & (keeps == 0), self.length / 2, self.length)
        here = torch.where(per_sample(kept, new), new, self.here)
        turn, keeps = torch.where(over, 0, turn), torch.where(over, 0, keeps)
        return Walk(here, torch.maximum(value, self.value), length, orders, turn, sign, passes, keeps, halved, self.asked + moved)
