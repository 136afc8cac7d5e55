"""Pictures of 256 grey levels: the nearest one inside the budget, or the word that there is none."""

import torch
from torch import Tensor

from advcli.geometry import Ball

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

    `nearest` takes the nearest level inside; where that leaves an l2 or l1 ball, every pixel moves to the next level
    towards the centre. `trunc` does so from the start: the perturbation is cut to whole bytes.
    """
    center, byte = ball.center * 255, x * 255
    towards = torch.where(byte > center, (byte + SLACK).floor(), (byte - SLACK).ceil())
    kept = (towards - center).abs() <= (byte - center).abs() + SLACK
    towards = torch.where(kept & ((towards - center) * (byte - center) >= 0), towards, center.round())
    if rounding == "trunc":
        found = towards
    else:
        found = byte.round()
        if ball.norm == "linf":
            radius = ball.radius.view(-1, *[1] * (x.ndim - 1)) * 255
            low, high = (center - radius - SLACK).ceil(), (center + radius + SLACK).floor()
            found = torch.where(low <= high, torch.minimum(torch.maximum(found, low), high), center.round())
        else:
            inside = ball.holds(as_pixels(found.clamp(0, 255))).view(-1, *[1] * (x.ndim - 1))
            found = torch.where(inside, found, towards)
    found = as_pixels(found.clamp(0, 255))
    possible = ball.holds(found) if ball.norm != "raw" else torch.ones(len(x), dtype=torch.bool, device=x.device)
    return torch.where(possible.view(-1, *[1] * (x.ndim - 1)), found, ball.center), possible
