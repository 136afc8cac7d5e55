"""The ball around each image, and the lowest value of a linear function on it.

A ball is cut off at black and white. On the box of linf the lowest value is exact. For l2 and l1 it is that of Lagrange's
dual: for every t > 0 and every image c + d of the ball,

    a d >= min over the box of (a d + (|d|_2^2 - r^2) / 2t)      and      a d >= min over the box of (a d + t (|d|_1 - r)),

a bound whatever t is, and the exact value at the best t, which bisection finds.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from advcli.bounds.rows import Field, Rows
from advcli.numerics.balls import tolerance

BISECTIONS = 45


@dataclass(frozen=True)
class Region:
    """The images in [0, 1] within `radius` of some centres (N, C, H, W), in float64."""

    center: Tensor
    radius: float
    norm: str

    def __getitem__(self, mask: Tensor) -> "Region":
        return Region(self.center[mask], self.radius, self.norm)

    def box(self) -> tuple[Tensor, Tensor]:
        """The lowest and highest value of every pixel."""
        return (self.center - self.radius).clamp(0, 1), (self.center + self.radius).clamp(0, 1)


class Ball:
    """Balls, with the fields that rows take windows of."""

    def __init__(self, region: Region) -> None:
        self.region, (low, high) = region, region.box()
        self.center, self.down, self.up = (Field(one) for one in (region.center, low - region.center, high - region.center))

    def lowest(self, rows: Rows, *, exact: bool = True) -> Tensor:
        """(M,) below every value of the rows on the ball; for l2 and l1 the exact value, or a lower bound that is faster."""
        size, found, radius = rows.weight.flatten(1), rows.total(self.center), self.region.radius
        down, up = rows.of(self.down).flatten(1), rows.of(self.up).flatten(1)
        if self.region.norm == "linf":
            return found + torch.where(size > 0, size * down, size * up).sum(1)
        size, room = size.abs(), torch.where(size > 0, -down, up)
        box = -(size * room).sum(1)
        if not exact:
            dual = size.norm(dim=1) if self.region.norm == "l2" else size.amax(1)
            return found + torch.maximum(box, -radius * dual)
        return found + torch.maximum(box, (_l2 if self.region.norm == "l2" else _l1)(size, room, radius))


def ball(images: Tensor, eps: float, norm: str) -> Region:
    """The balls around some images: with the tolerance by which a stored row may exceed its budget."""
    return Region(images.double(), eps + tolerance(eps), norm)


def _l2(size: Tensor, room: Tensor, radius: float) -> Tensor:
    """The dual's value where t size, cut off at the room, has the length of the radius."""
    if radius == 0:
        return torch.zeros_like(size[:, 0])
    low, high = torch.zeros_like(size[:, :1]), torch.full_like(size[:, :1], 1.0)
    high = high * (radius / size.norm(dim=1, keepdim=True).clamp_min(1e-30))
    for _ in range(BISECTIONS):  # first upwards until it is long enough, or everything is cut off
        long = torch.minimum(high * size, room).norm(dim=1, keepdim=True) >= radius
        if bool((long | (high * size >= room).all(1, keepdim=True)).all()):
            break
        high = torch.where(long, high, 4 * high)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        long = torch.minimum(middle * size, room).norm(dim=1, keepdim=True) > radius
        low, high = torch.where(long, low, middle), torch.where(long, middle, high)
    move = torch.minimum(high * size, room)
    return (move.square().sum(1) - radius**2) / (2 * high[:, 0]) - (size * move).sum(1)


def _l1(size: Tensor, room: Tensor, radius: float) -> Tensor:
    """The dual's value where the pixels whose coefficient exceeds t have as much room as the radius."""
    low, high = torch.zeros_like(size[:, :1]), size.amax(1, keepdim=True)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        wide = torch.where(size > middle, room, 0.0).sum(1, keepdim=True) > radius
        low, high = torch.where(wide, middle, low), torch.where(wide, high, middle)
    return -((size - high).clamp_min(0) * room).sum(1) - high[:, 0] * radius
