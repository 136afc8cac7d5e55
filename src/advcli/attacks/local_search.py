"""Local search: each round changes the pixels of a neighbourhood whose probe lowers the probability of the class most.

With images in [LB, UB] = [-1/2, 1/2]: the first candidates are a tenth of the pixels, at random. Each candidate (x, y) is
probed alone, by p sign(I(b, x, y)) in every channel b; the t candidates of the lowest probability become
CYCLIC(r, I(b, x, y)) = r I, moved by UB - LB back into the range where it has left it. The next candidates are all pixels at
most d rows and d columns from these t. It ends when the class is none of the k largest, or after R rounds.

sign works on centred images: of pixels in [0, 1] it is never negative, and 0 at black (--no-center). A probe beyond the range,
such as p = 1 on black, is no image that a service would take; it re-enters as CYCLIC does. A probe that changes nothing is not
asked. Probabilities are compared by their log-odds, which do not round to 0 and 1; equal ones are taken in random order.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.errors import CommandError
from advcli.numerics.rng import SampleRNG
from advcli.search.best import take
from advcli.search.goal import Goal
from advcli.search.scores import groups, logits_of, odds
from advcli.search.victim import Victim


@dataclass(frozen=True, slots=True)
class Pixels:
    """How the value of a pixel changes, on images shifted by `shift`."""

    p: float
    r: float
    shift: float  # 1/2 for centred images, else 0

    def cyclic(self, x: Tensor) -> Tensor:
        """CYCLIC(r, I): r I, re-entering the range on the other side."""
        return self._wrapped(self.r * (x - self.shift))

    def probe(self, x: Tensor) -> Tensor:
        """p sign(I), re-entering the range on the other side."""
        return self._wrapped(self.p * (x - self.shift).sign())

    def _wrapped(self, value: Tensor) -> Tensor:
        """Images again in [0, 1]; one turn of the range, and what is still outside is clipped."""
        x = value + self.shift
        return torch.where(x < 0, x + 1, torch.where(x > 1, x - 1, x)).clamp(0, 1)


def neighbourhood(chosen: Tensor, d: int) -> Tensor:
    """(N, H, W) all pixels at most d rows and d columns from the chosen ones, inside the image."""
    window = torch.nn.functional.max_pool2d(chosen[:, None].to(torch.float32), 2 * d + 1, stride=1, padding=d)
    return window[:, 0] > 0


def lowest(value: Tensor, there: Tensor, rng: SampleRNG, count: int) -> Tensor:
    """(N, P) the `count` candidates with the largest log-odds of the goal; equal ones in random order."""
    order = rng.uniform(value.shape[1]).argsort(1)
    ranked = torch.where(there, value, -torch.inf).gather(1, order).argsort(dim=1, descending=True, stable=True)
    top = order.gather(1, ranked[:, :count])
    return torch.zeros_like(there).scatter(1, top, True) & there


def probed(
    victim: Victim, goal: Goal, x: Tensor, there: Tensor, value: Tensor, how: Pixels, *, ends: bool
) -> tuple[Tensor, Tensor]:
    """(N, P) the log-odds of the goal with each candidate probed, and the first (N,) that reaches the goal; -1 if none does.

    If that `ends` the search of an image, it asks no more. One query is left for the result of the round. A candidate that is
    not asked has the image's own value.
    """
    probe, found = how.probe(x).flatten(2), value[:, None].expand_as(there).clone()
    asked = there & (probe != x.flatten(2)).any(1)
    asked &= asked.cumsum(1) < victim.left().to(x.device)[:, None]
    order = asked.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, : int(asked.sum(1).max())]
    first = torch.full_like(goal.label, -1)
    for part in groups(order.shape[1], x[0].numel()):
        place, count = order[:, part], part.stop - part.start
        some, aim = asked.gather(1, place) & ((first < 0) | (not ends))[:, None], goal.copies(count)
        if not bool(some.any()):
            break
        where = place[:, :, None, None].expand(-1, -1, x.shape[1], 1)
        points = x.flatten(2)[:, None].repeat(1, count, 1, 1)
        points.scatter_(3, where, probe[:, None].expand(-1, count, -1, -1).gather(3, where))
        logits = logits_of(victim, points.view(len(x), count, *x.shape[1:]), some).flatten(0, 1)
        found.scatter_(1, place, torch.where(some, odds(aim)(logits).view(-1, count), found.gather(1, place)))
        reached = aim.reached(logits).view(-1, count) & some
        hit = place.gather(1, reached.to(torch.int8).argmax(1, keepdim=True))[:, 0]
        first = torch.where((first < 0) & reached.any(1), hit, first)
    return found, first


def outranked(logits: Tensor, goal: Goal) -> Tensor:
    """(N,) the number of classes with a larger logit than the label's."""
    own = logits.gather(1, goal.label[:, None])
    return (logits > own).sum(1)


@attack(
    family="black box", kind="minimal", norms=("l0",), access="scores", random=True, within=None, paper="arXiv:1612.06299"
)  # fmt: skip
def local_search(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    p: Annotated[float, Param("Size of a probe: it sets a pixel to p times its sign.", low=-1, high=1)] = 1.0,
    r: Annotated[float, Param("Factor of a change: it sets a pixel to r times its value, wrapped.", low=0, high=2)] = 1.5,
    d: Annotated[int, Param("Half the side of the neighbourhood of a changed pixel.", low=0, high=1000)] = 5,
    t: Annotated[int, Param("Pixels changed in a round.", low=1)] = 5,
    rounds: Annotated[int, Param("Number of rounds.", low=1)] = 150,
    k: Annotated[int, Param("Stop when the class is none of the k largest; without --target.", low=1)] = 1,
    center: Annotated[bool, Param("Take signs and factors of pixels in [-1/2, 1/2], or of those in [0, 1].")] = True,
) -> Tensor:
    if k > 1 and goal.targeted:
        raise CommandError(f"--k {k} counts the classes above the label: leave out --target, or use --k 1")
    how, best, height, width = Pixels(p, r, 0.5 * center), x.clone(), x.shape[2], x.shape[3]
    rows, ever = torch.arange(len(x), device=x.device), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    victim, goal, x, rng, rows = take((victim.left() > 2).to(x.device), victim, goal, x, rng, rows)
    if not len(rows):
        return best
    value, size = odds(goal)(victim(x)), height * width
    there = rng.fork("first").uniform(size).argsort(1).argsort(1) < max(1, size // 10)
    for number in range(rounds):
        scored, first = probed(victim, goal, x, there, value, how, ends=k == 1)
        hit = first >= 0
        if bool((new := hit & ~ever[rows]).any()):
            only = torch.nn.functional.one_hot(first[new], size).bool()
            best[rows[new]], ever[rows[new]] = changed(x[new], only, how.probe(x[new])), True
        chosen = lowest(scored, there, rng.fork("ties", number), t)
        x, there = changed(x, chosen, how.cyclic(x)), neighbourhood(chosen.view(-1, height, width), d).flatten(1)
        live = ~hit | (k > 1)
        victim, goal, x, rng, rows, there = take(live, victim, goal, x, rng, rows, there)
        if not len(rows):
            break
        logits = victim(x)
        reached, value = goal.reached(logits), odds(goal)(logits)
        done = reached & (outranked(logits, goal) >= k) if k > 1 else reached
        new = reached & (done | ~ever[rows])
        best[rows[new]], ever[rows[new]] = x[new], True
        live = ~done & (victim.left() > 1).to(x.device)
        victim, goal, x, rng, rows, there, value = take(live, victim, goal, x, rng, rows, there, value)
        if not len(rows):
            break
    return best


def changed(x: Tensor, chosen: Tensor, value: Tensor) -> Tensor:
    """The images with the values of the chosen pixels, in every channel."""
    return torch.where(chosen.view(-1, 1, *x.shape[2:]), value, x)
