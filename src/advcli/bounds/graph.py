"""A feed-forward network as a list of layers, in the order in which they are computed."""

from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor

from advcli.bounds.activations import Activation
from advcli.bounds.layers import Conv, Linear, Reshape
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

    def pool_first(self) -> None:
        """Move each activation that only a maximum takes behind it: fewer neurons are unstable, and the function is the same.

        max(f(a), f(b)) = f(max(a, b)) for every f that never falls, rounded or not.
        """
        for number, node in enumerate(self.nodes):
            if not isinstance(node.layer, MaxPool):
                continue
            below = self.nodes[node.inputs[0]]
            if isinstance(below.layer, Activation) and self.users(node.inputs[0]) == [node]:
                self.nodes[node.inputs[0]] = Node(node.layer, below.inputs, node.shape, node.name)
                self.nodes[number] = Node(below.layer, node.inputs, node.shape, below.name)

    @property
    def size(self) -> int:
        """The number of values of all layers of one image."""
        return sum(prod(one.shape) for one in self.nodes)

    @property
    def largest(self) -> int:
        """The number of values of the largest layer; a maximum counts each value of its window."""
        return max(prod(one.shape) * one.layer.count if isinstance(one.layer, MaxPool) else prod(one.shape) for one in self.nodes)

    def reach(self, number: int) -> list[int]:
        """At most how many values of each layer below one value of a layer depends on."""
        shape = self.nodes[number].shape
        windows = {number: (1, 1) if len(shape) == 3 else None}
        found = []
        for k in range(number, -1, -1):
            if k not in windows:
                continue
            node, window = self.nodes[k], windows[k]
            found.append(prod(node.shape) if window is None else node.shape[0] * prod(window))
            found[-1] *= node.layer.count if isinstance(node.layer, MaxPool) else 1
            for below in node.inputs:
                windows[below] = _larger(windows.get(below, (0, 0)), _window_below(node, window, self.nodes[below].shape))
        return found

    @property
    def classes(self) -> int:
        return self.nodes[-1].shape[0]

    def forward(self, x: Tensor) -> Tensor:
        """The logits in float64: exact arithmetic, as far as a machine goes."""
        return self.values(x)[-1]

    def values(self, x: Tensor) -> list[Tensor]:
        """The values of all layers in float64."""
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
        return found


Window = tuple[int, int] | None  # None: the whole layer


def _window_below(node: Node, window: Window, shape: Shape) -> Window:
    """The window of a layer that a window of the next is computed from."""
    layer = node.layer
    if window is None or len(shape) != 3 or isinstance(layer, Reshape):
        return None
    if isinstance(layer, Conv | MaxPool):
        kernel = layer.weight.shape[2:] if isinstance(layer, Conv) else layer.kernel
        sizes = zip(window, layer.stride, layer.dilation, kernel, strict=True)
        height, width = ((n - 1) * s + d * (k - 1) + 1 for n, s, d, k in sizes)
        window = (height, width)
    return None if prod(window) >= prod(shape[1:]) else window


def _larger(one: Window, two: Window) -> Window:
    return None if one is None or two is None else (max(one[0], two[0]), max(one[1], two[1]))
