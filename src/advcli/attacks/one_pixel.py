"""One-pixel attack: differential evolution over the places and the values of one pixel, or of a few.

A member of the population is a row, a column and a value of every channel for each pixel. In each generation every member i
has a child x_r1 + F (x_r2 - x_r3) of three different members, F = 0.5, without crossover; the child takes i's place if the
class has a lower probability there (the target a higher one). The first members have uniform places, and values from N(128,
127) of 255, clipped. What leaves the range of its number is drawn anew. An image is done with the first member that reaches
the goal. Probabilities are compared by their log-odds, which do not round to 0 and 1.
"""

from typing import Annotated

import torch
from torch import Tensor

from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.rng import SampleRNG
from advcli.search.best import take
from advcli.search.goal import Goal
from advcli.search.scores import groups, logits_of, odds
from advcli.search.victim import Victim

Answer = tuple[Tensor, Tensor, Tensor]  # fitness (N, P), whether the goal is reached (N,), and by which member


def first_members(rng: SampleRNG, count: int, pixels: int, channels: int) -> Tensor:
    """(N, P, pixels, 2 + C) numbers in [0, 1]: shares of the height and of the width, and the values."""
    places = rng.fork("places").uniform(count, pixels, 2)
    values = (128 + 127 * rng.fork("values").normal(count, pixels, channels)) / 255
    return torch.cat([places, values.clamp(0, 1)], 3)


def triples(rng: SampleRNG, count: int) -> Tensor:
    """(N, P, 3) for every member three different members, uniformly."""
    words = rng.bits(3 * count).view(-1, count, 3)
    first = words[:, :, 0] * count >> 32
    second = (first + 1 + (words[:, :, 1] * (count - 1) >> 32)) % count
    third = words[:, :, 2] * (count - 2) >> 32
    for taken in (torch.minimum(first, second), torch.maximum(first, second)):
        third = third + (third >= taken)
    return torch.stack([first, second, third], 2)


def children(members: Tensor, chosen: Tensor, weight: float, fresh: Tensor) -> Tensor:
    """x_r1 + F (x_r2 - x_r3); `fresh` numbers replace those outside [0, 1]."""
    rows = torch.arange(len(members), device=members.device)[:, None]
    first, second, third = (members[rows, chosen[:, :, k]] for k in range(3))
    made = first + weight * (second - third)
    return torch.where((made >= 0) & (made <= 1), made, fresh)


def painted(x: Tensor, members: Tensor) -> Tensor:
    """(N, K, C, H, W) the images with the pixels of K members; a later pixel of a member covers an earlier one."""
    channels, height, width = x.shape[1:]
    points = x[:, None].repeat(1, members.shape[1], 1, 1, 1)
    row, column = ((members[..., k] * side).long().clamp_max(side - 1) for k, side in enumerate((height, width)))
    place, flat = row * width + column, points.flatten(3)
    for pixel in range(members.shape[2]):
        where = place[:, :, None, pixel, None].expand(-1, -1, channels, 1)
        flat.scatter_(3, where, members[:, :, pixel, 2:, None])
    return points


def asked_about(victim: Victim, goal: Goal, x: Tensor, members: Tensor) -> Answer:
    """The log-odds of the goal for every member; minus infinity where it was not asked, after a success or the last query."""
    fitness, done = x.new_full(members.shape[:2], -torch.inf), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    winner = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    for part in groups(members.shape[1], x[0].numel()):
        count = part.stop - part.start
        asked = torch.arange(1, count + 1, device=x.device) <= victim.left().to(x.device)[:, None]
        asked &= ~done[:, None]
        if not bool(asked.any()):
            break
        logits, aim = logits_of(victim, painted(x, members[:, part]), asked).flatten(0, 1), goal.copies(count)
        fitness[:, part] = odds(aim)(logits).view(-1, count).masked_fill(~asked, -torch.inf)
        reached = aim.reached(logits).view(-1, count) & asked
        winner = torch.where(reached.any(1), part.start + reached.to(torch.int8).argmax(1), winner)
        done = done | reached.any(1)
    return fitness, done, winner


@attack(
    family="black box", kind="minimal", norms=("l0",), access="scores", random=True, within=None, paper="arXiv:1710.08864"
)  # fmt: skip
def one_pixel(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    pixels: Annotated[int, Param("Number of pixels that may change.", low=1, high=1000)] = 1,
    population: Annotated[
        int, Param("Members of the population; each generation costs as many queries.", low=4, high=100_000)
    ] = 400,
    steps: Annotated[int, Param("Number of generations after the first.", low=0)] = 100,
    weight: Annotated[float, Param("The factor F of differences between members.", low=0, high=2)] = 0.5,
) -> Tensor:
    best, rows = x.clone(), torch.arange(len(x), device=x.device)
    victim, goal, x, rng, rows = take((victim.left() > 0).to(x.device), victim, goal, x, rng, rows)
    members = first_members(rng.fork("first"), population, pixels, x.shape[1])
    fitness = x.new_full((len(x), population), -torch.inf)
    for step in range(steps + 1):
        if not len(rows):
            break
        draws, new = rng.fork("step", step), members
        if step:
            fresh = draws.fork("fresh").uniform(population, pixels, members.shape[3])
            new = children(members, triples(draws.fork("triples"), population), weight, fresh)
        value, reached, which = asked_about(victim, goal, x, new)
        best[rows[reached]] = painted(x, new[torch.arange(len(x), device=x.device), which][:, None])[reached, 0]
        better = value > fitness
        members, fitness = torch.where(better[..., None, None], new, members), torch.maximum(value, fitness)
        live = ~reached & (victim.left() > 0).to(x.device)
        victim, goal, x, rng, rows, members, fitness = take(live, victim, goal, x, rng, rows, members, fitness)
    return best
