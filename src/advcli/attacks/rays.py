"""RayS: the nearest point of another class along one of the directions {-1, 1}^d, found from decisions only.

The point of a direction s at radius r is clip(x + r s). The signs of the whole image are flipped, then of each half, each
quarter, and so on down to single pixels. A flip is kept if the goal is then reached at a radius that is smaller by 2^-10; the
smallest such radius is bisected. The first direction is all 1, or all -1, or the first random one that reaches the goal at any
radius. The paper ends with single pixels; here it begins again while queries are left, with the pixels in the order of the
columns, and then in random orders.
"""

from collections.abc import Iterator
from itertools import count
from typing import Annotated

import torch
from torch import Tensor

from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import per_sample
from advcli.numerics.rng import SampleRNG
from advcli.search.best import take
from advcli.search.bisection import is_adversarial
from advcli.search.goal import Goal
from advcli.search.victim import Victim

FINE = 2**-10  # of the radius
STARTS = 60  # directions


@attack(family="decision", kind="minimal", norms=("linf",), access="labels", random=True, within=None, paper="arXiv:2006.12792")
def rays(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    queries: Annotated[int, Param("Queries for each image.", low=2, high=1_000_000_000, form="N")] = 5000,
) -> Tensor:
    most = torch.minimum(victim.left(), torch.full((len(x),), queries)).to(x.device)
    best, rows = x.clone(), torch.arange(len(x), device=x.device)
    sign, radius, spent = torch.ones_like(x), torch.ones(len(x), device=x.device), torch.zeros_like(rows)
    live = torch.zeros_like(rows, dtype=torch.bool)
    for number in range(STARTS):
        who, aim, start, turn, draws = take(~live & (spent < most), victim, goal, x, rows, rng)
        if not len(turn):
            break
        way = start_sign(start, draws.fork("start", number), number)
        met = is_adversarial(who, aim, point(start, way, radius[turn]))
        spent[turn] += 1
        sign[turn[met]], best[turn[met]], live[turn[met]] = way[met], point(start, way, radius[turn])[met], True
    for cycle, start, stop in blocks(x[:1].numel()):
        live = live & (spent < most) & (radius > FINE)
        victim, goal, x, rng, sign, radius, spent, most, rows = take(live, victim, goal, x, rng, sign, radius, spent, most, rows)
        if not len(rows):
            break
        place = places(x, rng, cycle)
        flipped = torch.where((place >= start) & (place < stop), -sign, sign)
        met = is_adversarial(victim, goal, point(x, flipped, radius - FINE))
        spent = spent + 1
        if bool(met.any()):
            sign[met] = flipped[met]
            who, aim, image, way, room = take(met, victim, goal, x, flipped, most - spent)
            radius[met], used = nearest(who, aim, image, way, radius[met] - FINE, room)
            spent[met] += used
            best[rows[met]] = point(x, sign, radius)[met]
        live = torch.ones_like(met)
    return best


def start_sign(x: Tensor, rng: SampleRNG, number: int) -> Tensor:
    """The directions that are tried first: up, down, and then random ones."""
    if number < 2:
        return torch.full_like(x, 1.0 - 2 * number)
    return torch.where(rng.uniform(*x.shape[1:]) < 0.5, -1.0, 1.0)


def point(x: Tensor, sign: Tensor, radius: Tensor) -> Tensor:
    """The point of a direction at a radius."""
    return (x + per_sample(radius, x) * sign).clamp(0, 1)


def blocks(size: int) -> Iterator[tuple[int, int, int]]:
    """The number of the cycle, and the places that are flipped: the whole, halves, quarters, ..., single pixels, and again."""
    for cycle in count():
        for level in range((size - 1).bit_length() + 1):
            parts = min(size, 2**level)
            for part in range(parts):
                yield cycle, part * size // parts, (part + 1) * size // parts


def places(x: Tensor, rng: SampleRNG, cycle: int) -> Tensor:
    """(N or 1, C, H, W) the place of every pixel in a cycle's order: by rows, by columns, then random."""
    channels, height, width = x.shape[1:]
    if cycle > 1:
        return rng.fork("order", cycle).uniform(x[0].numel()).argsort(1).view_as(x)
    place = torch.arange(x[0].numel(), device=x.device)
    by_rows = place.view(1, channels, height, width)
    return by_rows if cycle == 0 else place.view(1, channels, width, height).transpose(2, 3)


def nearest(victim: Victim, goal: Goal, x: Tensor, sign: Tensor, radius: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest radius found that reaches the goal, and the queries spent: steps inwards that double, then bisection."""
    low, high, step = torch.zeros_like(radius), radius.clone(), torch.full_like(radius, FINE)
    failed, used, rows = torch.zeros_like(radius, dtype=torch.bool), torch.zeros_like(room), torch.arange(len(x), device=x.device)
    while True:
        live = (high[rows] - low[rows] > FINE) & (used[rows] < room[rows])
        victim, goal, x, sign, rows = take(live, victim, goal, x, sign, rows)
        if not len(rows):
            return high, used
        inwards = (high - step).clamp_min(0)
        middle = torch.where(failed | (inwards <= low), (low + high) / 2, inwards)[rows]
        met = is_adversarial(victim, goal, point(x, sign, middle))
        used[rows] += 1
        high[rows[met]], low[rows[~met]] = middle[met], middle[~met]
        failed[rows[~met]] = True
        step[rows] = 2 * step[rows]
