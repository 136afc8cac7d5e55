"""A feed-forward network as bounds see it: layers in the order in which they are computed."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from advcli.bounds.activations import Activation
from advcli.bounds.layers import Linear
from advcli.bounds.pooling import MaxPool
from advcli.bounds.rows import Shape


@dataclass(frozen=True)
class Input:
    """The image."""


@dataclass(frozen=True)
class Sum:
    """The sum of two layers, the second times a sign."""

    sign: float = 1.0


@dataclass(frozen=True)
class Concat:
    """Layers one behind the other, by channel."""


Layer = Input | Linear | Sum | Concat | Activation | MaxPool


@dataclass(frozen=True)
class Node:
    """A layer, the numbers of those that it takes, the shape of its output for one image, and its name in the network."""

    layer: Layer
    inputs: tuple[int, ...]
    shape: Shape
    name: str


@dataclass
class Graph:
    """The layers; the first is the image, the last gives the logits."""

    nodes: list[Node] = field(default_factory=list)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def add(self, layer: Layer, inputs: tuple[int, ...], shape: Shape, name: str) -> int:
        """One more layer; returns its number."""
        self.nodes.append(Node(layer, inputs, shape, name))
        return len(self.nodes) - 1

    def users(self, number: int) -> list[Node]:
        """The layers that take this one's output."""
        return [one for one in self.nodes if number in one.inputs]

    @property
    def classes(self) -> int:
        return self.nodes[-1].shape[0]

    def forward(self, x: Tensor) -> Tensor:
        """The logits in float64: exact arithmetic, as far as a machine goes."""
        found: list[Tensor] = []
        for node in self.nodes:
            given = [found[k] for k in node.inputs]
            if isinstance(node.layer, Input):
                found.append(x.double())
            elif isinstance(node.layer, Sum):
                found.append(given[0] + node.layer.sign * given[1])
            elif isinstance(node.layer, Concat):
                found.append(torch.cat(given, 1))
            else:
                found.append(node.layer.forward(given[0]))
        return found[-1]
