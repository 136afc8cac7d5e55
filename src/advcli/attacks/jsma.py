"""Jacobian saliency map attack: changes few pixels, each by a large amount, towards a target class.

With a_p = dF_t/dx_p and b_p = sum_{j != t} dF_j/dx_p, Papernot's form (`pair`) changes by theta the two pixels with the
largest -(a_p + a_q)(b_p + b_q) where a_p + a_q > 0 > b_p + b_q (for theta < 0 the other way round), until a share gamma of
the pixels is used. If no pair raises the target and lowers the rest, it takes the two pixels with the largest a_p - b_p. The
form of Wang, Kunin and Pyron (`sum`) changes single pixels, a --top-fraction of them, in the order of the impact a_p - b_p.
F are probabilities, for which b_p is -a_p, or logits. A gradient is weighted by the share of theta that its pixel can still
move; a pixel that is black or white already is never taken.

The best pair is found among few candidates: a pixel that two others exceed in both numbers is in no best pair, so the first
two layers of the Pareto front are enough.
"""

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.networks.rejection import split
from advcli.numerics.rng import SampleRNG
from advcli.search.best import Best, take
from advcli.search.goal import Goal
from advcli.search.victim import Victim

AT_ONCE = 1 << 22  # entries of the tables of pairs


def saliency(victim: Victim, x: Tensor, goal: Goal, jacobian: str) -> tuple[Tensor, Tensor, Tensor]:
    """(N, D) gradients of the target and of the sum of the others, and the logits; for a probability, of its logarithm.

    One number for every image lies between the two, and chooses no other pixel; but float32 would lose a small one.
    """

    def losses(logits: Tensor) -> list[Tensor]:
        scores, _ = split(logits, goal.rejects)
        if jacobian == "prob":
            return [scores.log_softmax(1).gather(1, goal.label[:, None])[:, 0]]
        target = scores.gather(1, goal.label[:, None])[:, 0]
        return [target, scores.sum(1) - target]

    slopes, logits = victim.gradients(x, losses)
    target = slopes[0].flatten(1)
    return target, -target if jacobian == "prob" else slopes[1].flatten(1), logits


def best_pair(up: Tensor, down: Tensor, free: Tensor) -> Tensor:
    """(N, 2) the free pixels with the largest (u_p + u_q)(d_p + d_q), both sums positive; -1 if there is no such pair."""
    chosen = candidates(up, down, free)
    width = max(2, int(chosen.sum(1).max())) if len(chosen) else 2
    order = chosen.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :width]
    there = chosen.gather(1, order)
    u, d = up.gather(1, order), down.gather(1, order)
    found, step = [], max(1, AT_ONCE // width**2)
    for k in range(0, len(up), step):
        part = slice(k, k + step)
        gain, loss = u[part, :, None] + u[part, None, :], d[part, :, None] + d[part, None, :]
        possible = (gain > 0) & (loss > 0) & there[part, :, None] & there[part, None, :]
        possible &= torch.ones(width, width, dtype=torch.bool, device=up.device).triu(1)
        score = torch.where(possible, gain * loss, -torch.inf).flatten(1)
        top = score.argmax(1)
        pair = torch.stack([top // width, top % width], 1)
        pair = order[part].gather(1, pair)
        found.append(torch.where(score.gather(1, top[:, None]) > -torch.inf, pair, -1))
    return torch.cat(found) if found else up.new_zeros(0, 2, dtype=torch.int64)


def candidates(up: Tensor, down: Tensor, free: Tensor) -> Tensor:
    """(N, D) the free pixels that at most one other pixel exceeds or equals in both numbers: the first two Pareto layers."""
    worst = torch.where(free, down, -torch.inf)
    by_down = worst.argsort(dim=1, descending=True, stable=True)
    level = torch.where(free, up, -torch.inf).gather(1, by_down)
    order = by_down.gather(1, level.argsort(dim=1, descending=True, stable=True))
    height, kept = worst.gather(1, order), torch.zeros_like(free)
    for _ in range(2):
        before = torch.cat([torch.full_like(height[:, :1], -torch.inf), height.cummax(1).values[:, :-1]], 1)
        front = height > before
        kept |= torch.zeros_like(free).scatter(1, order, front)
        height = height.masked_fill(front, -torch.inf)
    return kept


def largest(impact: Tensor, free: Tensor, count: int) -> Tensor:
    """(N, count) the free pixels with the largest impact; -1 if there are too few."""
    value, place = torch.where(free, impact, -torch.inf).topk(min(count, impact.shape[1]), 1)
    return torch.where(value > -torch.inf, place, -1)


@attack(
    family="minimal", kind="minimal", norms=("l0",), access="gradient", targeted="only", within=None, paper="arXiv:1511.07528"
)
def jsma(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    early_stop: bool,
    variant: Annotated[
        Literal["pair", "sum"], Param("Pairs of pixels (Papernot et al.), or single pixels (Wang, Kunin and Pyron).")
    ] = "pair",
    theta: Annotated[float, Param("Change of each chosen pixel; negative values darken it.", low=-1, high=1)] = 1.0,
    gamma: Annotated[float, Param("Share of the pixels that pairs may use.", low=0, high=1)] = 0.145,
    top_fraction: Annotated[float, Param("Share of the pixels that --variant sum may change.", low=0, high=1)] = 0.05,
    jacobian: Annotated[Literal["prob", "logit"], Param("Gradients of the probabilities or of the logits.")] = "prob",
) -> Tensor:
    size, sign = x[:1].numel(), 1.0 if theta > 0 else -1.0
    moves = math.floor(gamma * size / 2 + 1e-9) if variant == "pair" else math.ceil(top_fraction * size - 1e-9)
    best, untouched = Best(x, goal, early_stop), torch.ones(x.shape, dtype=torch.bool, device=x.device).flatten(1)
    for _ in range(moves if theta else 0):
        target, others, logits = saliency(victim, x, goal, jacobian)
        live = best.offer(x, logits, goal)
        victim, goal, x, target, others, untouched = take(live, victim, goal, x, target, others, untouched)
        if not len(x):
            return best.x
        move = sign * ((x + theta).clamp(0, 1) - x).flatten(1) / abs(theta)
        target, others = move * target, move * others
        free = (move > 0) & (untouched | (variant == "pair"))
        impact = sign * (target - others)
        if variant == "pair":
            chosen = best_pair(sign * target, -sign * others, free)
            chosen = torch.where(chosen < 0, largest(impact, free, 2), chosen)
        else:
            chosen = largest(impact, free, 1)
        x, untouched = changed(x, chosen, theta), untouched.scatter(1, chosen.clamp_min(0), False)
    best.offer(x, victim(x), goal)
    return best.x


def changed(x: Tensor, chosen: Tensor, theta: float) -> Tensor:
    """The images with theta added to the chosen pixels; -1 stands for no pixel."""
    more = torch.zeros_like(x.flatten(1)).scatter_add_(1, chosen.clamp_min(0), torch.where(chosen >= 0, theta, 0.0).to(x))
    return (x + more.view_as(x)).clamp(0, 1)
