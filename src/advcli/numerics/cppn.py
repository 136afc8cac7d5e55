"""Compositional pattern-producing networks: pictures as functions of a pixel's position, drawn at any size.

A genome is a list of nodes. A node applies its function to a weighted sum of earlier ones; the first four are the inputs x
and y in [-1, 1], the distance to the centre and the constant 1, and the last ones give a channel each, of which -1 to 1
becomes black to white. All arithmetic is exact or rounded by IEEE 754: a genome gives the same pixels in any batch, on any
machine. Stanley, Compositional pattern producing networks, Genetic Programming and Evolvable Machines 8, 2007.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

import torch
from torch import Tensor

from advcli.numerics.exact import exponential, sine

INPUTS = 4  # x, y, the distance to the centre, 1
MOST_NODES, MOST_SOURCES = 64, 64
MOST_WEIGHT = 1e6
LARGEST = 1e3  # of a sum: what a function is given is cut there
AT_ONCE = 1 << 22  # values of nodes that are held at a time


class Node(NamedTuple):
    """A function of a weighted sum of earlier nodes."""

    function: str
    sources: tuple[int, ...]
    weights: tuple[float, ...]


Genome = tuple[Node, ...]  # the nodes after the inputs, in order; the last ones are the channels

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sine": sine,
    "sigmoid": lambda x: 2 / (1 + exponential(-x)) - 1,
    "gaussian": lambda x: 2 * exponential(-x * x) - 1,
    "linear": lambda x: x,
    "abs": torch.abs,
}


def written(genome: Genome) -> bytes:
    """A genome as JSON: a list of [function, [[source, weight], ...]]."""
    nodes = [[one.function, [list(pair) for pair in zip(one.sources, one.weights, strict=True)]] for one in genome]
    return json.dumps(nodes, separators=(",", ":")).encode()


def read(text: bytes, channels: int) -> Genome:
    """The genome of a JSON text; ValueError if it is none."""
    nodes = json.loads(text)
    if not isinstance(nodes, list) or not channels <= len(nodes) <= MOST_NODES:
        raise ValueError(f"not a list of {channels} to {MOST_NODES} nodes")
    return tuple(_node(one, INPUTS + place) for place, one in enumerate(nodes))


def _node(found: object, place: int) -> Node:
    if not (isinstance(found, list) and len(found) == 2 and found[0] in tuple(FUNCTIONS) and isinstance(found[1], list)):
        raise ValueError("a node is no function with its sources")
    pairs = found[1]
    if len(pairs) > MOST_SOURCES or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ValueError("a node's sources are no pairs")
    for source, weight in pairs:
        if type(source) is not int or not 0 <= source < place:
            raise ValueError("a node's source does not come before it")
        if type(weight) not in (int, float) or not isfinite(weight) or abs(weight) > MOST_WEIGHT:
            raise ValueError("a weight is no number")
    return Node(found[0], tuple(pair[0] for pair in pairs), tuple(float(pair[1]) for pair in pairs))


def drawn(genomes: Sequence[Genome], shape: tuple[int, int, int]) -> Tensor:
    """(N, C, H, W) float32 pictures in [0, 1]."""
    channels, height, width = shape
    points = inputs(height, width)
    step = max(1, AT_ONCE // (points.shape[1] * max(map(len, genomes), default=1)))
    found = [_values(genomes[start : start + step], points, channels) for start in range(0, len(genomes), step)]
    return ((torch.cat(found) + 1) / 2).clamp(0, 1).to(torch.float32).view(len(genomes), *shape)


def inputs(height: int, width: int) -> Tensor:
    """(4, H W) the inputs at the centres of the pixels."""
    y, x = (((2 * torch.arange(n, dtype=torch.float64) + 1) / n - 1) for n in (height, width))
    y, x = y[:, None].expand(height, width).flatten(), x.expand(height, width).flatten()
    return torch.stack([x, y, (x * x + y * y).sqrt(), torch.ones_like(x)])


@dataclass(frozen=True, slots=True)
class Level:
    """Nodes of many genomes that can be computed at once: those of one depth, ordered by their function."""

    nodes: Tensor  # their places among the values
    into: Tensor  # of every connection, which of these nodes it ends in
    sources: Tensor
    weights: Tensor
    functions: list[tuple[str, int, int]]  # with the range of nodes


def _values(genomes: Sequence[Genome], points: Tensor, channels: int) -> Tensor:
    """(N C, points) the values of the output nodes."""
    starts = [INPUTS]
    for genome in genomes:
        starts.append(starts[-1] + len(genome))
    values = torch.empty(starts[-1], points.shape[1], dtype=torch.float64)
    values[:INPUTS] = points
    for level in _levels(genomes, starts):
        total = torch.zeros(len(level.nodes), points.shape[1], dtype=torch.float64)
        total.index_add_(0, level.into, values[level.sources] * level.weights[:, None])
        total.clamp_(-LARGEST, LARGEST)
        for function, start, stop in level.functions:
            values[level.nodes[start:stop]] = FUNCTIONS[function](total[start:stop])
    ends = torch.tensor([stop - channels + k for _, stop in pairwise(starts) for k in range(channels)])
    return values[ends]


def _levels(genomes: Sequence[Genome], starts: list[int]) -> list[Level]:
    """The nodes of all genomes by depth: each node follows its sources."""
    found: dict[int, list[tuple[str, int, list[int], tuple[float, ...]]]] = {}
    for genome, start in zip(genomes, starts, strict=False):
        depth = [0] * INPUTS
        for place, node in enumerate(genome):
            depth.append(1 + max((depth[source] for source in node.sources), default=0))
            sources = [one if one < INPUTS else start + one - INPUTS for one in node.sources]
            found.setdefault(depth[-1], []).append((node.function, start + place, sources, node.weights))
    return [_level(sorted(found[depth])) for depth in sorted(found)]


def _level(nodes: list[tuple[str, int, list[int], tuple[float, ...]]]) -> Level:
    names = [node[0] for node in nodes]
    return Level(
        nodes=torch.tensor([node[1] for node in nodes]),
        into=torch.tensor([k for k, node in enumerate(nodes) for _ in node[2]], dtype=torch.int64),
        sources=torch.tensor([source for node in nodes for source in node[2]], dtype=torch.int64),
        weights=torch.tensor([weight for node in nodes for weight in node[3]], dtype=torch.float64),
        functions=[(one, names.index(one), names.index(one) + names.count(one)) for one in dict.fromkeys(names)],
    )
