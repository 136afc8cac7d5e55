"""What evolves: pictures as their pixels, or networks that draw them, each with its first draw and its mutation.

Numbers move by polynomial mutation of strength s: u is uniform, and the step is (2 u)^(1 / (s + 1)) - 1 below one half and
1 - (2 - 2 u)^(1 / (s + 1)) above it, as a share of the range. Deb, Agrawal, A niched-penalty approach for constraint
handling in genetic algorithms, ICANNGA 1999.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from advcli.numerics import cppn
from advcli.numerics.cppn import Genome
from advcli.numerics.exact import power
from advcli.numerics.rng import SampleRNG
from advcli.search import genome_mutation

HALF_STEP = 2.0**-25  # of the grid of uniform draws: in its middle, none is 0 or 1


class Encoding(Protocol):
    """Individuals of one kind: how the first ones are drawn, how they mutate, and the pictures that they stand for."""

    def first(self, rng: SampleRNG, count: int) -> Sequence[Any]:
        """Random individuals; `rng` has the population as its only sample."""

    def mutated(self, parents: Sequence[Any], rng: SampleRNG, rate: float) -> Sequence[Any]:
        """A child of each parent."""

    def pictures(self, individuals: Sequence[Any]) -> Tensor:
        """(N, C, H, W) float32 on the CPU."""

    def genome(self, individual: Any) -> bytes:
        """What draws the picture again; empty if that is the picture itself."""


def polynomial_steps(u: Tensor, strength: float) -> Tensor:
    """Steps of polynomial mutation, as shares of the range, from uniform draws in (0, 1)."""
    below = u < 0.5
    size = power(torch.where(below, 2 * u, 2 - 2 * u), 1 / (strength + 1))
    return torch.where(below, size - 1, 1 - size)


def uniform(rng: SampleRNG, count: int, numbers: int) -> Tensor:
    """(count, numbers) float64 in (0, 1); the first rows and numbers are the same whatever the counts are."""
    return rng.copies(count).uniform(numbers).to(torch.float64) + HALF_STEP


@dataclass(frozen=True, slots=True)
class Pixels:
    """Pictures as their pixels: at first noise, or mutations of a plain colour."""

    shape: tuple[int, int, int]
    strength: float
    plain: Tensor | None = None  # (C, H, W) the start, unless that is noise

    def first(self, rng: SampleRNG, count: int) -> Sequence[Tensor]:
        """Noise, or the plain start with every number mutated."""
        if self.plain is not None:
            return self.mutated([self.plain] * count, rng, 1.0)
        return list(rng.copies(count).uniform(*self.shape).unbind())

    def mutated(self, parents: Sequence[Tensor], rng: SampleRNG, rate: float) -> Sequence[Tensor]:
        """Every number of a parent changes with probability `rate`."""
        found, each = torch.stack(list(parents)), rng.copies(len(parents))
        moving = each.fork("which").chance(rate, *self.shape)
        u = each.fork("step").uniform(*self.shape)[moving].to(torch.float64) + HALF_STEP
        found[moving] = (found[moving] + polynomial_steps(u, self.strength)).clamp(0, 1).to(torch.float32)
        return list(found.unbind())

    def pictures(self, individuals: Sequence[Tensor]) -> Tensor:
        """The individuals themselves."""
        return torch.stack(list(individuals))

    def genome(self, individual: Tensor) -> bytes:
        """None: the picture is its own genome."""
        return b""


@dataclass(frozen=True, slots=True)
class Networks:
    """Compositional pattern-producing networks, at first without hidden nodes; weights and topology mutate."""

    shape: tuple[int, int, int]
    strength: float

    def first(self, rng: SampleRNG, count: int) -> Sequence[Genome]:
        """Output nodes that are connected to all inputs."""
        draws = uniform(rng, count, genome_mutation.FIRST_DRAWS * self.shape[0]).tolist()
        return [genome_mutation.random_genome(iter(one), self.shape[0]) for one in draws]

    def mutated(self, parents: Sequence[Genome], rng: SampleRNG, rate: float) -> Sequence[Genome]:
        """A child of each parent: every weight changes with probability `rate`, and often the topology."""
        numbers = max(map(genome_mutation.draws_needed, parents))
        u = uniform(rng, len(parents), numbers)
        steps = polynomial_steps(uniform(rng.fork("step"), len(parents), numbers), self.strength)
        pairs = zip(parents, u.tolist(), steps.tolist(), strict=True)
        return [
            genome_mutation.mutated(parent, genome_mutation.Draws(chances, moves), self.shape[0], rate)
            for parent, chances, moves in pairs
        ]

    def pictures(self, individuals: Sequence[Genome]) -> Tensor:
        """What the networks draw."""
        return cppn.drawn(individuals, self.shape)

    def genome(self, individual: Genome) -> bytes:
        """The network as JSON."""
        return cppn.written(individual)
