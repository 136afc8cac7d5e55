"""Planes: the shortest way inside [0, 1] to where a linear function has a value, in any norm."""

import torch
from torch import Tensor

from advcli.numerics.balls import TINY, per_sample, room_to

BENDS = 50  # rounds of Newton's method; about eight are needed
CLOSE = 1e-6  # share of a gain that may be missing
FAR = 1e6  # further than any image reaches


def steepness(slope: Tensor, norm: str) -> Tensor:
    """(N,) the gain of a step of length one in the norm, without the borders: the dual norm of the slope."""
    size = slope.flatten(1).abs()
    return size.sum(1) if norm == "linf" else size.norm(dim=1) if norm == "l2" else size.amax(1)


def onto_plane(slope: Tensor, gain: Tensor, x: Tensor, norm: str) -> tuple[Tensor, Tensor]:
    """The shortest step from x, and its length, that changes a linear function by `gain` (N,), which may be negative."""
    slope = torch.where(per_sample(gain < 0, slope), -slope, slope)
    return to_plane(slope, gain.abs().clamp_min(TINY), room_to(slope, x), norm)


def to_plane(slope: Tensor, gain: Tensor, room: Tensor, norm: str) -> tuple[Tensor, Tensor]:
    """(N, ...) the shortest step that raises a linear function by `gain` (N,), and (N,) its length.

    Where all the room gains too little, the step takes all of it, and its length is called FAR and further.
    """
    size, room = slope.flatten(1).abs(), room.flatten(1)
    peak = size.amax(1).clamp_min(TINY)
    size, gain = size / peak[:, None], gain / peak
    move = _steepest_first(size, gain, room) if norm == "l1" else _evenly(size, gain, room, size if norm == "l2" else size.sign())
    length = move.norm(dim=1) if norm == "l2" else move.sum(1) if norm == "l1" else move.amax(1)
    share = (size * move).sum(1) / gain
    length = torch.where(share > 1 - 2 * CLOSE, length, FAR / share)
    return slope.sign() * move.view_as(slope), length


def _evenly(size: Tensor, gain: Tensor, room: Tensor, rate: Tensor) -> Tensor:
    """l2 and linf: min(lam b, room), b = |g| for l2 and 1 for linf, with the smallest lam that gains enough.

    What lam gains is concave and bends where a pixel is full, so Newton's method climbs to it from below.
    """
    lam = torch.zeros_like(gain)
    for _ in range(BENDS):
        move = torch.minimum(lam[:, None] * rate, room)
        short = gain - (size * move).sum(1)
        climb = torch.where(move < room, size * rate, 0.0).sum(1)
        more = torch.where((climb > 0) & (short > CLOSE * gain), (short / climb).clamp(max=FAR**4), 0.0)
        if not bool((more > 0).any()):
            break
        lam = lam + more
    return move


def _steepest_first(size: Tensor, gain: Tensor, room: Tensor) -> Tensor:
    """l1: pixel after pixel in the order of |g|, each until it is full, the last one as far as is still needed."""
    steep, order = size.sort(dim=1, descending=True, stable=True)
    queued = torch.where(steep > 0, room.gather(1, order), 0.0)
    gains = steep * queued
    short = (gain[:, None] - (gains.cumsum(1) - gains)).clamp_min(0)
    spent = torch.minimum(queued, torch.where(steep > 0, short / steep, 0.0))
    return torch.zeros_like(size).scatter(1, order, spent)
