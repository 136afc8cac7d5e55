"""Balls: where a perturbation may go. The norm is a value, so that no attack is written twice.

A ball is the set of images in [0, 1] within a radius of a centre; one that clips nothing goes beyond [0, 1]. `along` is the
step that raises a linear function most: the sign for linf, the normalised gradient for l2, and for l1 the budget spent pixel
by pixel in the order of the gradient's size, each pixel until it is black or white.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from advcli.numerics.rng import SampleRNG, tree_sum

TINY = 1e-12
FREE = ("raw", "none")  # what bounds nothing: a multiple of the gradient, an image that is moved
BISECTIONS = 28  # float32 has 24 bits


def per_sample(value: Tensor, like: Tensor) -> Tensor:
    """(N,) shaped so that it multiplies (N, C, H, W)."""
    return value.view(-1, *[1] * (like.ndim - 1))


def distance(a: Tensor, b: Tensor, norm: str) -> Tensor:
    """(N,) distances in float64: linf max|d|, l2 sqrt(sum d^2), l1 sum|d|, l0 count(d != 0)."""
    d = (a.to(torch.float64) - b.to(torch.float64)).flatten(1).abs()
    if not d.shape[1]:
        return d.sum(1)
    return {
        "linf": lambda: d.amax(1),
        "l2": lambda: d.square().sum(1).sqrt(),
        "l1": lambda: d.sum(1),
        "l0": lambda: (d != 0).sum(1).to(torch.float64),
    }[norm]()


def tolerance(eps: float) -> float:
    """The rounding that float32 may add to a budget: 3e-8 is seen on some per cent of MNIST's pixels."""
    return 1e-6 * max(1.0, eps)


def room_to(direction: Tensor, x: Tensor) -> Tensor:
    """The distance that each pixel may go in a direction before it is black or white."""
    return torch.where(direction > 0, 1 - x, x)


def _project_linf(u: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(u, -radius), radius)


def _project_l2(u: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    length = per_sample(u.flatten(1).norm(dim=1).clamp_min(TINY), u)
    factor = (radius / length).clamp(max=1)
    return u * factor


def _project_l1(u: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    """The exact projection on the l1 ball within the room to black and white (Croce & Hein, arXiv:2103.01208).

    It is sign(u) min(max(|u| - lam, 0), room) for the smallest lam >= 0 that keeps the budget; lam by bisection.
    """
    size, room = u.abs(), room_to(u, center)
    within = torch.minimum(size, room)
    inside = per_sample(within.flatten(1).sum(1), u) <= radius
    if bool(inside.all()):
        return u.sign() * within
    low, high = torch.zeros_like(radius), per_sample(size.flatten(1).amax(1), u)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        spent = per_sample(torch.minimum((size - middle).clamp_min(0), room).flatten(1).sum(1), u)
        low, high = torch.where(spent > radius, middle, low), torch.where(spent > radius, high, middle)
    shrunk = (size - torch.where(inside, torch.zeros_like(high), high)).clamp_min(0)
    return u.sign() * torch.minimum(shrunk, room)


def _along_l1(g: Tensor, x: Tensor, length: Tensor) -> Tensor:
    """Spend the length on the pixels in the order of |g|, as much on each as there is room for."""
    size, free = g.flatten(1).abs(), room_to(g, x).flatten(1)
    order = size.argsort(dim=1, descending=True, stable=True)
    queued = torch.where(size == 0, 0.0, free).gather(1, order)
    before = queued.cumsum(1) - queued
    spent = torch.minimum(queued, (length.view(-1, 1) - before).clamp_min(0))
    return torch.zeros_like(size).scatter(1, order, spent).view_as(g) * g.sign()


def _random_linf(rng: SampleRNG, shape: tuple[int, ...]) -> Tensor:
    return 2 * rng.uniform(*shape) - 1


def _random_l2(rng: SampleRNG, shape: tuple[int, ...]) -> Tensor:
    """A normal direction, and as radius the largest of d uniform numbers, which is distributed as U^(1/d)."""
    direction = rng.fork("direction").normal(*shape)
    radius = rng.fork("radius").uniform(*shape).flatten(1).amax(1)
    return direction * per_sample(radius / tree_sum(direction.square().flatten(1)).sqrt().clamp_min(TINY), direction)


def _random_l1(rng: SampleRNG, shape: tuple[int, ...]) -> Tensor:
    """Exponential spacings: d + 1 of them, normalised, are uniform on the simplex."""
    size = rng.fork("size").exponential(*shape)
    rest = rng.fork("rest").exponential()
    sign = torch.where(rng.fork("sign").uniform(*shape) < 0.5, -1.0, 1.0)
    return sign * size / per_sample(tree_sum(size.flatten(1)) + rest, size)


@dataclass(frozen=True, slots=True)
class Geometry:
    """The operations of one norm: projection, steepest step, a uniform point of the unit ball."""

    project: Callable[[Tensor, Tensor, Tensor], Tensor]
    along: Callable[[Tensor, Tensor, Tensor], Tensor]
    random: Callable[[SampleRNG, tuple[int, ...]], Tensor]


def unit(g: Tensor, norm: str) -> Tensor:
    """The direction of g at length one: its sign for linf, g / ||g||_2 for l2; l1 and raw keep g as it is."""
    if norm != "l2":
        return g.sign() if norm == "linf" else g
    length = g.flatten(1).norm(dim=1)
    if bool((faint := length < TINY).any()):  # of what is fainter, the squares round to nothing
        peak = g.flatten(1).abs().amax(1).clamp_min(torch.finfo(g.dtype).tiny)
        g = torch.where(per_sample(faint, g), g / per_sample(peak, g), g)
        length = g.flatten(1).norm(dim=1)
    return g / per_sample(length.clamp_min(TINY), g)


def _along_unit(norm: str, g: Tensor, x: Tensor, length: Tensor) -> Tensor:
    return length * unit(g, norm)


GEOMETRY = {
    "linf": Geometry(_project_linf, partial(_along_unit, "linf"), _random_linf),
    "l2": Geometry(_project_l2, partial(_along_unit, "l2"), _random_l2),
    "l1": Geometry(_project_l1, _along_l1, _random_l1),
}


@dataclass(frozen=True, slots=True)
class Ball:
    """The images in [0, 1] within `radius` (N,) of `center` (N, C, H, W); without `clip` also those beyond [0, 1]."""

    center: Tensor
    radius: Tensor
    norm: str
    clip: bool = True

    def __getitem__(self, mask: Tensor) -> "Ball":
        return Ball(self.center[mask], self.radius[mask], self.norm, self.clip)

    def in_range(self, x: Tensor) -> Tensor:
        """x clipped to the range of pixels, unless this ball clips nothing."""
        return x.clamp(0, 1) if self.clip else x

    def project(self, x: Tensor) -> Tensor:
        """The point of the ball for x; x itself where it is in the ball already."""
        u = GEOMETRY[self.norm].project(x - self.center, self.center, per_sample(self.radius, x))
        return self.in_range(self.center + u)

    def along(self, x: Tensor, gradient: Tensor, length: Tensor) -> Tensor:
        """One step from x of the given length (N,) in this norm, along the gradient, back inside the ball."""
        return self.project(x + GEOMETRY[self.norm].along(gradient, x, per_sample(length, x)))

    def step(self, direction: Tensor) -> Tensor:
        """The whole budget along a direction of unit length; `raw` scales it and bounds nothing."""
        if self.norm == "l1":
            return self.along(self.center, direction, self.radius)
        point = self.center + per_sample(self.radius, direction) * direction
        return self.in_range(point) if self.norm == "raw" else self.project(point)

    def random_point(self, rng: SampleRNG) -> Tensor:
        """A uniform point of the ball, clipped to the range of pixels."""
        u = GEOMETRY[self.norm].random(rng, tuple(self.center.shape[1:]))
        return self.in_range(self.center + per_sample(self.radius, u) * u)

    def holds(self, x: Tensor) -> Tensor:
        """(N,) whether x lies in the ball, within float32's tolerance."""
        return distance(x, self.center, self.norm) <= self.radius.to(torch.float64) + tolerance(float(self.radius.max()))
