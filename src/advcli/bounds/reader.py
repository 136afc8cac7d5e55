"""The part of a network that was read so far, and access to the arguments of its operations."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from advcli.bounds.graph import Graph, Layer
from advcli.bounds.rows import Shape


class Unreadable(Exception):
    """An operation for which there are no bounds; the text says which, if the name of its layer does not."""


@dataclass
class Reader:
    """For every node that was read, the number of its layer, or its value if that does not depend on the image."""

    graph: Graph
    count: int  # images in the record
    found: dict[fx.Node, Any] = field(default_factory=dict)
    name: str = ""

    def value(self, given: Any) -> Any:
        """The value of an argument: the number of a layer, a tensor, or a constant."""
        return self.found[given] if isinstance(given, fx.Node) else given

    def shape(self, node: fx.Node) -> Shape:
        """The shape of an operation's output for one image."""
        shape = tuple(node.meta["val"].shape)
        if len(shape) < 2 or shape[0] != self.count:
            raise Unreadable
        return shape[1:]

    def add(self, node: fx.Node, layer: Layer, *inputs: int) -> int:
        if node.meta["val"].dtype != torch.float32:
            raise Unreadable(f"arithmetic in {str(node.meta['val'].dtype).removeprefix('torch.')}")
        return self.graph.add(layer, inputs, self.shape(node), self.name)

    def layer(self, given: Any) -> int:
        """An argument that has to depend on the image."""
        number = self.value(given)
        if not isinstance(number, int) or isinstance(number, bool) or not isinstance(given, fx.Node):
            raise Unreadable
        return number

    def fixed(self, given: Any) -> Tensor:
        """An argument that must not depend on the image, in float64."""
        if isinstance(given, fx.Node):
            found = self.found[given]
            if isinstance(found, int):
                raise Unreadable
            value: Tensor = found.double()
            return value
        return torch.tensor(float(given), dtype=torch.float64, device=self.graph.device)


def pair(value: Any) -> tuple[int, int]:
    found = tuple(value) if isinstance(value, Sequence) else (value,)
    return (int(found[0]), int(found[-1]))


def argument(node: fx.Node, place: int, name: str, default: Any) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def as_float32(value: Any) -> float:
    """A number as float32 arithmetic uses it."""
    return float(torch.tensor(float(value), dtype=torch.float32))
