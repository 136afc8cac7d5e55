"""Rotates and shifts the image: the worst of a grid of rotations and translations, or of some random ones.

x'(p) = x(R(-t) (p - c - d) + c): rotated by t about the centre c, counterclockwise, then shifted by d pixels, in one
bilinear resampling; pixels from outside are black. With --border the image is first shrunk by that many pixels on every
side. Every query is one transformation. The identity, which every odd grid contains, and whole-pixel shifts are exact.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal, TypeVar

import torch
from torch import Tensor

from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.errors import CommandError
from advcli.numerics.resampling import sampled
from advcli.numerics.rng import SampleRNG
from advcli.search.best import take
from advcli.search.goal import Goal
from advcli.search.victim import Victim

PACK = 64  # images that are worth one forward pass
SMALL = 16  # pixels a side, under which a digit bears half the turn
SAMPLES = 10
MOST = 10_000  # points of a grid
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Preset:
    """The defaults of a preset."""

    shift: float | None
    turn: float | None
    grid: str
    border: int
    ink: float | None


PRESETS = {"engstrom": Preset(None, None, "5,5,31", 0, None), "wang-zhang": Preset(10, 10, "5,5,11", 4, 0.1)}


@attack(family="spatial", kind="transform", norms=("none",), access="scores", labels_suffice=True, paper="arXiv:1712.02779")
def spatial(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    early_stop: bool,
    mode: Annotated[Literal["grid", "random"], Param("All points of a grid, or some random transformations.")] = "grid",
    preset: Annotated[
        Literal["engstrom", "wang-zhang"],
        Param("Defaults of the other options; wang-zhang: 10 pixels, 10 degrees, 5,5,11, border 4, ink 0.1."),
    ] = "engstrom",
    max_shift: Annotated[
        float | None,
        Param("Largest shift in pixels. [default: 3 for 28 pixels, other sizes in proportion, at least 1]", low=0, high=1000),
    ] = None,
    max_rot: Annotated[
        float | None, Param("Largest rotation in degrees. [default: 30; for images under 16 pixels, 15]", low=0, high=180)
    ] = None,
    grid: Annotated[
        str | None, Param("Numbers of horizontal shifts, vertical shifts and rotations. [default: 5,5,31]", form="N,N,N")
    ] = None,
    samples: Annotated[int | None, Param("Number of transformations of --mode random. [default: 10]", low=1, high=10_000)] = None,
    border: Annotated[
        int | None, Param("Shrink the image by this many pixels on every side; the border is black. [default: 0]", low=0)
    ] = None,
    ink_tolerance: Annotated[
        float | None,
        Param("Use only transformations that change the sum of the pixels by at most this share. [default: any]", low=0),
    ] = None,
) -> Tensor:
    usual, side = PRESETS[preset], min(x.shape[2:])
    most = limits(x, usual.shift if max_shift is None else max_shift, usual.turn if max_rot is None else max_rot)
    border, ink = said(border, usual.border, 0), said(ink_tolerance, usual.ink, math.inf)
    if 2 * border >= side:
        raise CommandError(f"--border {border}: nothing would be left of images of {side} pixels")
    if (samples if mode == "grid" else grid) is not None:
        raise CommandError("--samples is for --mode random, and --grid for --mode grid")
    if mode == "grid":
        moves = ordered(grid or usual.grid, *most).expand(len(x), -1, -1).to(x.device)
    else:
        moves = drawn(rng, samples or SAMPLES, *most)
    return worst(victim, x, goal, moves, border, ink, early_stop=early_stop)


def limits(x: Tensor, shift: float | None, turn: float | None) -> tuple[float, float]:
    """The largest shift and rotation: as given, or by the size of the images."""
    side = min(x.shape[2:])
    return said(shift, max(1, round(3 * side / 28))), said(turn, 30 if side >= SMALL else 15)


def said(*values: Value | None) -> Value:
    """The first value that is given."""
    return next(value for value in values if value is not None)


def gridded(text: str, shift: float, turn: float) -> Tensor:
    """(K, 3) pixels right, pixels down, degrees: equal steps from end to end; a single point is the middle."""
    counts = [int(one) if one.strip().isdecimal() and len(one) < 9 else 0 for one in text.split(",")]
    if len(counts) != 3 or not 0 < math.prod(counts) <= MOST:
        raise CommandError(f"--grid {text}: expected three numbers of points such as 5,5,31, with {MOST} points at most in all")
    ends = [end if count > 1 else 0.0 for end, count in zip((shift, shift, turn), counts, strict=True)]
    return torch.cartesian_prod(*(torch.linspace(-end, end, count) for end, count in zip(ends, counts, strict=True)))


@cache
def ordered(text: str, shift: float, turn: float) -> Tensor:
    """The grid from its corners inwards: each point is the farthest from all before it, so that a few points cover the grid."""
    moves = gridded(text, shift, turn)
    share = moves / moves.abs().amax(0).clamp_min(1e-9)
    far, order = torch.full((len(moves),), torch.inf), [int(share.square().sum(1).argmax())]
    while len(order) < len(moves):
        far = torch.minimum(far, (share - share[order[-1]]).square().sum(1))
        far[order[-1]] = -1
        order.append(int(far.argmax()))
    return moves[order]


def drawn(rng: SampleRNG, count: int, shift: float, turn: float) -> Tensor:
    """(N, K, 3) uniform transformations; a longer list begins with the same ones."""
    share = 2 * rng.uniform(count, 3) - 1
    return share * torch.tensor([shift, shift, turn], device=share.device)


def worst(victim: Victim, x: Tensor, goal: Goal, moves: Tensor, border: int, ink: float, *, early_stop: bool) -> Tensor:
    """The image with the largest margin beyond the goal's boundary; with early stop, the first one beyond it."""
    best, depth = x.clone(), torch.full((len(x),), -torch.inf, device=x.device)
    rows, still = torch.arange(len(x), device=x.device), torch.zeros(len(x), 3, device=x.device)
    weight, pack, done = moved(x, still, border).flatten(1).sum(1), max(len(x), PACK), 0
    while len(x) and done < moves.shape[1]:
        count = min(max(1, done), max(1, pack // len(x)), moves.shape[1] - done)  # few first: most need no more
        point = moved(x.repeat_interleave(count, 0), moves[:, done : done + count].flatten(0, 1), border)
        change = (point.flatten(1).sum(1).view(-1, count) - weight[:, None]).abs()
        allowed = change <= ink * weight[:, None] if ink < math.inf else torch.ones_like(change, dtype=torch.bool)
        allowed = (allowed & (allowed.cumsum(1) <= victim.left().to(x.device)[:, None])).flatten()
        margin = torch.full((len(point),), -torch.inf, device=x.device)
        reached = torch.zeros(len(point), dtype=torch.bool, device=x.device)
        if bool(allowed.any()):
            aim, logits = goal.copies(count)[allowed], victim.copies(count)[allowed](point[allowed])
            margin[allowed], reached[allowed] = aim.margin(logits), aim.reached(logits)
        deepest, which = margin.view(-1, count).max(1)
        better = deepest > depth[rows]
        depth[rows[better]] = deepest[better]
        best[rows[better]] = point.view(-1, count, *x.shape[1:])[better, which[better]]
        live = ~reached.view(-1, count).any(1) if early_stop else torch.ones_like(better)
        x, victim, goal, moves, weight, rows = take(live, x, victim, goal, moves, weight, rows)
        done += count
    return best


def moved(x: Tensor, moves: Tensor, border: int = 0) -> Tensor:
    """Each image under its transformation (N, 3): pixels right, pixels down, degrees counterclockwise."""
    channels, height, width = x.shape[1:]
    right, down, turn = (one.view(-1, 1, 1) for one in moves.to(torch.float64).unbind(1))
    cos, sin = (turn * (math.pi / 180)).cos(), (turn * (math.pi / 180)).sin()
    across = torch.arange(width, dtype=torch.float64, device=x.device) - (width - 1) / 2 - right
    along = torch.arange(height, dtype=torch.float64, device=x.device)[:, None] - (height - 1) / 2 - down
    column = (cos * across - sin * along) * (width / (width - 2 * border)) + (width - 1) / 2
    row = (sin * across + cos * along) * (height / (height - 2 * border)) + (height - 1) / 2
    return sampled(x, row.clamp(-1, height).flatten(1), column.clamp(-1, width).flatten(1)).view(-1, channels, height, width)
