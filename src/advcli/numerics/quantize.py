"""Rounding of images to 256 grey levels inside the budget, and which rows cannot be rounded so."""

import torch
from torch import Tensor

from advcli.numerics.balls import FREE, Ball, per_sample

SLACK = 1e-4  # of a grey level: float32's error in 255 x


def on_grid(x: Tensor) -> Tensor:
    """(N,) whether every pixel is exactly a byte divided by 255."""
    return (snap_to_byte(x) == x).flatten(1).all(1)


def snap_to_byte(x: Tensor) -> Tensor:
    """Round half to even, as a PNG writer would."""
    return as_pixels((x * 255).round())


def as_pixels(byte: Tensor) -> Tensor:
    """Bytes as float32 pixels, by a true division: the only meaning of a byte."""
    return byte.to(torch.float32) / 255


def quantize(ball: Ball, x: Tensor, rounding: str) -> tuple[Tensor, Tensor]:
    """x on the grid and inside the ball, and (N,) whether that was possible; otherwise the row is the centre.

    `nearest` uses the nearest level, `trunc` truncates the perturbation to whole levels. If that leaves the ball, linf uses each
    pixel's nearest level inside, and l2 and l1 shorten the perturbation until its rounded form fits.
    """
    center, byte = ball.center * 255, x * 255
    base = center.round()
    move = byte - base
    found = byte.round() if rounding == "nearest" else base + move.sign() * (move.abs() + SLACK).floor()
    if ball.norm == "linf":
        radius = per_sample(ball.radius, x) * 255
        low, high = (center - radius - SLACK).ceil(), (center + radius + SLACK).floor()
        found = torch.where(low <= high, torch.minimum(torch.maximum(found, low), high), base)
    elif ball.norm not in FREE:
        found = torch.where(per_sample(_inside(ball, found), x), found, _shortened(ball, base, move))
    possible = _inside(ball, found) if ball.norm not in FREE else torch.ones(len(x), dtype=torch.bool, device=x.device)
    return torch.where(per_sample(possible, x), as_pixels(found.clamp(0, 255)), ball.center), possible


def _inside(ball: Ball, byte: Tensor) -> Tensor:
    return ball.holds(as_pixels(byte.clamp(0, 255)))


def _shortened(ball: Ball, base: Tensor, move: Tensor) -> Tensor:
    """The largest share of the perturbation, to 1 in 2^16, that fits after rounding; zero if none fits."""
    low = torch.zeros(len(base), device=base.device)
    high = torch.ones_like(low)
    for _ in range(16):
        middle = (low + high) / 2
        fits = _inside(ball, base + (per_sample(middle, move) * move).round())
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return base + (per_sample(low, move) * move).round()
