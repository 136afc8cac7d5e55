"""Square attack: a random search with squares, which keeps each square that lowers the margin; needs scores, not gradients.

From vertical stripes (l2: a grid of bumps) on, x_{n+1} is x_n with a new square if that raises max_{k != y} z_k - z_y,
else x_n. For linf a square sets every channel to one of its two bounds. For l2 it is a bump, which takes the l2 mass of a
second window and the rest of the budget, or, every other time, adds a part of the budget to what is there. The share p of
the image that a square covers is halved after 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000 of 10,000 queries, rescaled
to the number of queries given. A square that would change nothing gets the opposite signs. For l1 (arXiv:2103.01208) a bump
is as for l2, but in one channel, and it takes the l1 mass of both windows in all channels.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Annotated

import torch
from torch import Tensor

from advcli.catalog.options import Norm
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import TINY, Ball, per_sample
from advcli.numerics.rng import SampleRNG
from advcli.search.best import take
from advcli.search.goal import Goal
from advcli.search.victim import Victim

HALVED = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 queries
AHEAD = 32  # queries whose numbers are drawn at once
ORDER = {"l2": 2, "l1": 1}
ROUNDING = 2.0**-25  # of a pixel near white in float32: in l1 that of every pixel counts
FINEST = 3  # a bump that is added has 1, 1/2, 1/4 or 1/2^3 of the budget


@dataclass(frozen=True, slots=True)
class Sizes:
    """Heights and widths of the windows at every stage of the schedule, for images of this shape."""

    shape: tuple[int, int, int]
    sides: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, shape: tuple[int, int, int], p_init: float, smallest: int = 1) -> "Sizes":
        """Squares of p h w pixels; for l2 with odd sides, of at least 3 pixels unless the image is tiny."""
        _, h, w = shape
        smallest = smallest if min(h, w) >= 5 else 1
        return cls(shape, tuple(sides(h, w, p_init / 2**stage * h * w, smallest) for stage in range(len(HALVED) + 1)))


def sides(h: int, w: int, area: float, smallest: int) -> tuple[int, int]:
    """A square of this area; a rectangle if the image is too narrow for the square."""
    side = max(smallest, round(math.sqrt(area)))
    side += smallest > 1 and side % 2 == 0
    height = side if side <= w else round(area / w)
    width = side if side <= h else round(area / h)
    return min(height, h), min(width, w)


@dataclass(frozen=True, slots=True)
class Windows:
    """(N, AHEAD, H) and (N, AHEAD, W): the distance of each row and each column from the corner, and 1 where it is inside.

    They are numbers, not booleans: a product with them takes a fifth of the time.
    """

    down: Tensor
    along: Tensor
    rows: Tensor
    columns: Tensor

    @classmethod
    def drawn(cls, sizes: Sizes, stage: Tensor, word: Tensor) -> "Windows":
        _, h, w = sizes.shape
        height, width = torch.tensor(sizes.sides, device=word.device)[stage].unbind(2)
        top, left = (word & 0xFFFF) * (h - height + 1) >> 16, (word >> 16) * (w - width + 1) >> 16
        down = torch.arange(h, device=word.device) - top[..., None]
        along = torch.arange(w, device=word.device) - left[..., None]
        rows, columns = (down >= 0) & (down < height[..., None]), (along >= 0) & (along < width[..., None])
        return cls(down, along, rows.to(torch.float32), columns.to(torch.float32))

    def __getitem__(self, mask: Tensor) -> "Windows":
        return Windows(self.down[mask], self.along[mask], self.rows[mask], self.columns[mask])

    def at(self, turn: int) -> Tensor:
        """(N, 1, H, W) 1 at the pixels of a window, 0 elsewhere."""
        return self.rows[:, turn, None, :, None] * self.columns[:, turn, None, None, :]


def signs(word: Tensor, channels: int) -> Tensor:
    """(..., C) a sign for every channel; after 32 channels the signs repeat."""
    bit = torch.arange(channels, device=word.device) % 32
    return ((word[..., None] >> bit & 1) * 2 - 1).to(torch.float32)


def length(delta: Tensor, *dims: int, order: int = 2) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(delta, order, dim=dims, keepdim=True)
    return found


@dataclass(frozen=True, slots=True)
class Squares:
    """linf: the squares of the next queries of some images; can be indexed by a mask."""

    windows: Windows
    signs: Tensor  # (N, AHEAD, C, 1, 1)

    @classmethod
    def drawn(cls, rng: SampleRNG, sizes: Sizes, stage: Tensor) -> "Squares":
        words = rng.bits(AHEAD * 2).view(len(rng.ids), AHEAD, 2)
        return cls(Windows.drawn(sizes, stage, words[:, :, 0]), signs(words[:, :, 1], sizes.shape[0])[..., None, None])

    def __getitem__(self, mask: Tensor) -> "Squares":
        return Squares(self.windows[mask], self.signs[mask])

    @staticmethod
    def start(rng: SampleRNG, ball: Ball) -> Tensor:
        """Vertical stripes."""
        _, c, _, w = ball.center.shape
        return ball.step(signs(rng.bits(c * w), 1).view(-1, c, 1, w))

    def move(self, ball: Ball, here: Tensor, turn: int) -> Tensor:
        inside, step = self.windows.at(turn), per_sample(ball.radius, here) * self.signs[:, turn]
        outside = here * (1 - inside)
        new = torch.addcmul(outside, (ball.center + step).clamp_(0, 1), inside)
        same = length(new - here, 1, 2, 3) == 0
        if not bool(same.any()):
            return new
        return torch.where(same, torch.addcmul(outside, (ball.center - step).clamp_(0, 1), inside), new)


def bump(height: int, width: int) -> Tensor:
    """A bump in the upper half of a window and its negative in the lower half, of l2 norm one: the eta of the paper."""
    whole = torch.zeros(height, width)
    for rows, sign in ((slice(0, height // 2), 1.0), (slice(height // 2, height), -1.0)):
        half = whole[rows]
        top, left = len(half) // 2, width // 2
        for k in range(max(top, left) + 1):
            half[max(top - k, 0) : top + k + 1, max(left - k, 0) : left + k + 1] += sign / (k + 1) ** 2
        half /= half.norm().clamp_min(TINY)
    whole /= whole.norm()
    return whole


def spread(ball: Ball, delta: Tensor) -> Tensor:
    """The perturbation scaled to the budget; what clipping at black and white removes goes to pixels that can still move."""
    order, radius = ORDER[ball.norm], ball.radius
    if order == 1:
        radius = (radius - ROUNDING * delta[0].numel()).clamp_min(0)
    for _ in range(2):
        factor = per_sample(radius, delta) / length(delta, 1, 2, 3, order=order).clamp_min(TINY)
        point = torch.addcmul(ball.center, delta, factor).clamp_(0, 1)
        delta = point - ball.center
    return point


@dataclass(frozen=True, slots=True)
class Bumps:
    """l2 and l1: the bumps of the next queries of some images; can be indexed by a mask."""

    table: Tensor  # the bumps of all stages, upright and rotated, each in the corner of an empty image
    windows: Windows
    others: Windows
    signs: Tensor  # (N, AHEAD, C, 1, 1)
    begin: Tensor  # (N, AHEAD) of each one's image in the table
    added: Tensor  # (N, AHEAD) the part of the budget that it adds; 0 where it takes the other window's mass
    only: Tensor  # (N, AHEAD, C, 1, 1) 1 for the channel that it has in l1, 0 for the others

    @classmethod
    def drawn(cls, rng: SampleRNG, sizes: Sizes, stage: Tensor) -> "Bumps":
        c, h, w = sizes.shape
        words = rng.bits(AHEAD * 4).view(len(rng.ids), AHEAD, 4)
        table = torch.zeros(len(sizes.sides), 2, h, w)
        for row, (a, b) in zip(table, sizes.sides, strict=True):
            row[0, :a, :b], row[1, :a, :b] = bump(a, b), bump(b, a).T
        return cls(
            table.flatten().to(stage.device),
            Windows.drawn(sizes, stage, words[:, :, 0]),
            Windows.drawn(sizes, stage, words[:, :, 1]),
            signs(words[:, :, 2], c)[..., None, None],
            (stage * 2 + (words[:, :, 3] & 1)) * h * w,
            (words[:, :, 3] >> 1 & 1) / (1 << ((words[:, :, 3] >> 16) * (FINEST + 1) >> 16)),
            torch.nn.functional.one_hot((words[:, :, 3] >> 2 & 0xFFF) * c >> 12, c)[..., None, None].to(torch.float32),
        )

    def __getitem__(self, mask: Tensor) -> "Bumps":
        return replace(self, **{one.name: getattr(self, one.name)[mask] for one in fields(self) if one.name != "table"})

    @staticmethod
    def start(rng: SampleRNG, ball: Ball) -> Tensor:
        """A grid of bumps, about five in a row, with random signs for every channel."""
        n, c, h, w = ball.center.shape
        side = max(1, min(h, w) // 5)
        high, wide = h // side * side, w // side * side
        words = rng.bits(2 * high * wide // side**2).view(n, high // side, wide // side, 2)
        tile = torch.stack([bump(side, side), bump(side, side).T]).to(ball.center)[words[..., 0] & 1]
        tiles = signs(words[..., 1], c)[..., None, None] * tile[:, :, :, None]  # (N, down, along, C, side, side)
        delta, top, left = torch.zeros_like(ball.center), (h - high) // 2, (w - wide) // 2
        delta[:, :, top : top + high, left : left + wide] = tiles.permute(0, 3, 1, 4, 2, 5).reshape(n, c, high, wide)
        return spread(ball, delta)

    def fresh(self, turn: int, like: Tensor) -> Tensor:
        """(N, 1, H, W) the bump of every window in its place."""
        h, w = like.shape[2:]
        above = self.begin[:, turn, None] + self.windows.down[:, turn] % h * w  # before the corner lies the empty end
        place = above[:, :, None] + (self.windows.along[:, turn] % w)[:, None]
        return self.table.index_select(0, place.flatten()).view(-1, 1, h, w)

    def move(self, ball: Ball, here: Tensor, turn: int) -> Tensor:
        added, delta, radius = per_sample(self.added[:, turn], here), here - ball.center, per_sample(ball.radius, here)
        takes = (added == 0).to(here)
        old = delta * (self.windows.at(turn) * takes)
        kept = delta - old
        kept = torch.addcmul(kept, kept, self.others.at(turn) * takes, value=-1)
        order = ORDER[ball.norm]
        if order == 1:
            taken = radius - length(kept, 1, 2, 3, order=1)
        else:
            free = (radius.square() - length(delta, 1, 2, 3).square()).clamp_min(0) / here.shape[1]
            taken = (free + length(delta - kept, 2, 3).square()).sqrt()
        mass = torch.where(added > 0, added * radius, taken)
        mixed = torch.addcmul(old / length(old, 2, 3, order=order).clamp_min(TINY), self.fresh(turn, here), self.signs[:, turn])
        mixed = mixed * self.only[:, turn] if order == 1 else mixed
        return spread(ball, torch.addcmul(kept, mixed, mass / length(mixed, 2, 3, order=order).clamp_min(TINY)))


@attack(family="black box", kind="budget", norms=("linf", "l2", "l1"), access="scores", random=True, paper="arXiv:1912.00049")
def square(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    eps: Tensor,
    *,
    rng: SampleRNG,
    early_stop: bool,
    norm: Norm = "linf",
    steps: Annotated[int, Param("Queries for each image; --max-queries can lower it.", low=1)] = 5000,
    p_init: Annotated[float, Param("Share of the image that the first squares cover.", low=0, high=1)] = 0.8,
    rescale: Annotated[bool, Param("Rescale the schedule of the square sizes to the number of queries.")] = True,
) -> Tensor:
    ball, (c, h, w), wanted = Ball(x, eps, norm), x.shape[1:], victim.left().clamp(max=steps).to(x.device)
    kind, sizes = (Squares, Sizes.of((c, h, w), p_init)) if norm == "linf" else (Bumps, Sizes.of((c, h, w), p_init, 3))
    found, rows, may = x.clone(), torch.arange(len(x), device=x.device), wanted > 0
    victim, goal, ball, rng, wanted, rows = take(may, victim, goal, ball, rng, wanted, rows)
    here, depth = ball.center.clone(), torch.full_like(ball.radius, -torch.inf)
    for asked in range(steps if len(rows) else 0):
        turn = asked % AHEAD
        if not turn:
            moves = kind.drawn(rng.fork("query", asked // AHEAD), sizes, stages(asked, wanted, rescale))
        new = moves.move(ball, here, turn) if asked else kind.start(rng.fork("start"), ball)
        logits = victim(new)
        margin = goal.margin(logits)
        taken, depth = (margin > depth).nonzero()[:, 0], torch.maximum(margin, depth)
        here.index_copy_(0, taken, new[taken])
        done = wanted <= asked + 1
        if early_stop and bool((margin > 0).any()):
            done = done | goal.reached(logits)
        if bool(done.any()):
            found[rows[done]] = here[done]
            state = (victim, goal, ball, rng, wanted, rows, here, depth, moves)
            victim, goal, ball, rng, wanted, rows, here, depth, moves = take(~done, *state)
            if not len(rows):
                break
    return found


def stages(asked: int, wanted: Tensor, rescale: bool) -> Tensor:
    """(N, AHEAD) the number of halvings of the squares at each of the next queries."""
    count = torch.arange(asked - 1, asked - 1 + AHEAD, device=wanted.device).clamp_min(0).expand(len(wanted), -1)
    return torch.bucketize(count * 10000 // wanted[:, None] if rescale else count, torch.tensor(HALVED, device=wanted.device))
