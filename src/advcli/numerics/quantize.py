"""Images of 256 grey levels: the nearest one inside the budget, or the word that there is none."""

import torch
from torch import Tensor

from advcli.numerics.balls import FREE, Ball, per_sample

SLACK = 1e-4  # of a grey level: float32's error in 255 x


def on_grid(x: Tensor) -> Tensor:
    """(N,) whether every pixel is a byte divided by 255, to the bit."""
    return (snap_to_byte(x) == x).flatten(1).all(1)


def snap_to_byte(x: Tensor) -> Tensor:
    """Round half to even, as a PNG writer would."""
    return as_pixels((x * 255).round())


def as_pixels(byte: Tensor) -> Tensor:
    """Bytes as float32 pixels, by a true division: the one meaning of a byte."""
    return byte.to(torch.float32) / 255


def quantize(ball: Ball, x: Tensor, rounding: str) -> tuple[Tensor, Tensor]:
    """x on the grid and inside the ball, and (N,) whether that could be done; a row where not is the centre.

    `nearest` takes the nearest level, `trunc` cuts the perturbation to whole levels. Where that leaves the ball, linf
    takes each pixel's nearest level inside, and l2 and l1 shorten the perturbation until its rounded form fits.
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
    """The longest share of the move, to 1 in 2^16, that fits once it is rounded; none of it where none fits."""
    low = torch.zeros(len(base), device=base.device)
    high = torch.ones_like(low)
    for _ in range(16):
        middle = (low + high) / 2
        fits = _inside(ball, base + (per_sample(middle, move) * move).round())
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return base + (per_sample(low, move) * move).round()
