"""Interval bounds, layer by layer, rounding included (Gowal et al., arXiv:1810.12715).

For y = W x + b with x in [l, u]: W (l + u) / 2 + b -+ |W| (u - l) / 2, and what the layer may round beyond that. Activations
and maxima never fall, so that their values at the ends are bounds.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from advcli.bounds.activations import Activation
from advcli.bounds.graph import Concat, Graph, Input, Node, Sum
from advcli.bounds.layers import Linear
from advcli.bounds.pooling import MaxPool
from advcli.bounds.rounding import UNDERFLOW, gamma


@dataclass
class Intervals:
    """For every layer so far (N, *shape) the lowest and the highest value, and the rounding error that float32 may add."""

    low: list[Tensor] = field(default_factory=list)
    high: list[Tensor] = field(default_factory=list)
    slack: list[Tensor | None] = field(default_factory=list)  # None: an exact layer

    def __getitem__(self, images: Tensor) -> "Intervals":
        slack = [None if one is None else one[images] for one in self.slack]
        return Intervals([one[images] for one in self.low], [one[images] for one in self.high], slack)

    def add(self, graph: Graph, node: Node) -> None:
        """The interval of the next layer."""
        lows, highs = [self.low[k] for k in node.inputs], [self.high[k] for k in node.inputs]
        low, high = _exact(node, lows, highs)
        slack = _slack(graph, node, lows, highs)
        self.low.append(low if slack is None else low - slack)
        self.high.append(high if slack is None else high + slack)
        self.slack.append(slack)

    @classmethod
    def of(cls, values: list[Tensor]) -> "Intervals":
        """The intervals of one value each."""
        return cls([one.clone() for one in values], [one.clone() for one in values], [None] * len(values))

    def include(self, values: list[Tensor]) -> None:
        """Widen the intervals until they hold these values of all layers."""
        for low, high, value in zip(self.low, self.high, values, strict=True):
            torch.minimum(low, value, out=low)
            torch.maximum(high, value, out=high)

    def tighten(self, number: int, low: Tensor, high: Tensor) -> None:
        """Intersect the interval of a layer with another."""
        self.low[number] = torch.maximum(self.low[number], low)
        self.high[number] = torch.minimum(self.high[number], high)


def intervals(graph: Graph, low: Tensor, high: Tensor) -> Intervals:
    """The intervals of all layers where the image lies between `low` and `high`, in float64."""
    found = started(low, high)
    for node in graph.nodes[1:]:
        found.add(graph, node)
    return found


def started(low: Tensor, high: Tensor) -> Intervals:
    """The interval of the image alone."""
    return Intervals([low], [high], [None])


def _exact(node: Node, lows: list[Tensor], highs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The interval of a layer in exact arithmetic."""
    layer = node.layer
    if isinstance(layer, Linear):
        middle, radius = layer.forward((lows[0] + highs[0]) / 2), layer.absolute((highs[0] - lows[0]) / 2)
        return middle - radius, middle + radius
    if isinstance(layer, Activation | MaxPool):
        return layer.forward(lows[0]), layer.forward(highs[0])
    if isinstance(layer, Concat):
        return torch.cat(lows, 1), torch.cat(highs, 1)
    assert isinstance(layer, Sum)
    return (lows[0] + lows[1], highs[0] + highs[1]) if layer.sign > 0 else (lows[0] - highs[1], highs[0] - lows[1])


def _slack(graph: Graph, node: Node, lows: list[Tensor], highs: list[Tensor]) -> Tensor | None:
    """What a layer's float32 value may differ from its exact function of the float32 values that it takes."""
    layer = node.layer
    if isinstance(layer, Input | Concat | MaxPool):
        return None
    sizes = [torch.maximum(low.abs(), high.abs()) for low, high in zip(lows, highs, strict=True)]
    if isinstance(layer, Sum):
        return gamma(1) * (sizes[0] + sizes[1]) + UNDERFLOW
    if isinstance(layer, Activation):
        return (gamma(layer.terms) * sizes[0] + layer.error + UNDERFLOW) if layer.terms or layer.error else None
    if not layer.terms:
        return None
    share = gamma(layer.terms, tensor_cores=layer.sums and graph.device.type == "cuda")
    return share * layer.rounded(sizes[0]) + (layer.terms + 1) * UNDERFLOW
