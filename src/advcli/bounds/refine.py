"""Intervals of hidden layers by CROWN, one layer after the other, for the neurons that interval arithmetic leaves unstable.

A neuron is unstable if its activation is not a straight line on its interval; others need no better bound. If a layer has too
many unstable neurons, those with the widest intervals are computed, up to a limit for each image.
"""

import torch
from torch import Tensor
from torch.nn import functional

from advcli.bounds.activations import Activation
from advcli.bounds.crown import Backward
from advcli.bounds.graph import Graph, Input, Node
from advcli.bounds.interval import Intervals, started
from advcli.bounds.layers import Linear
from advcli.bounds.pooling import MaxPool
from advcli.bounds.region import Region
from advcli.bounds.rows import Rows

ELEMENTS = 2**19  # coefficients of one layer that are held at once
MOST = 2**29  # coefficients that are computed for one layer of one image


def chunks(count: int, each: int) -> list[slice]:
    """Slices of rows, so that no layer holds more than so many coefficients."""
    step = max(1, ELEMENTS // max(1, each))
    return [slice(k, min(k + step, count)) for k in range(0, count, step)]


def refined(graph: Graph, region: Region) -> Intervals:
    """The intervals of all layers on the balls."""
    box = started(*region.box())
    for number, node in enumerate(graph.nodes):
        if isinstance(node.layer, Input):
            continue
        box.add(graph, node)
        if not _is_exact(graph, node, region) and bool((wanted := open_neurons(graph, number, box)).any()):
            _tighten(graph, number, box, region, wanted)
    return box


def at_least(graph: Graph, region: Region, seen: Intervals) -> Intervals:
    """Intervals that every sound one includes: exact ones where arithmetic has them, else those of values that were seen."""
    box = started(*region.box())
    for number, node in enumerate(graph.nodes):
        if isinstance(node.layer, Input):
            continue
        box.add(graph, node)
        if not _is_exact(graph, node, region):
            box.tighten(number, seen.low[number], seen.high[number])
    return box


def _is_exact(graph: Graph, node: Node, region: Region) -> bool:
    """True if interval arithmetic has the exact interval: the first linear layer, and a maximum of what is known."""
    layer = node.layer
    if isinstance(layer, MaxPool | Activation):
        return True
    below = graph.nodes[node.inputs[0]]
    while isinstance(below.layer, Linear) and not below.layer.sums:  # scales every value by itself
        below = graph.nodes[below.inputs[0]]
    return region.norm == "linf" and isinstance(layer, Linear) and isinstance(below.layer, Input)


def open_neurons(graph: Graph, number: int, box: Intervals) -> Tensor:
    """(N, *shape) which values of a layer need a better bound for the layers behind it."""
    low, high = box.low[number], box.high[number]
    found = torch.zeros_like(low, dtype=torch.bool)
    for user in graph.users(number):
        if isinstance(user.layer, Activation):
            found |= user.layer.bends(low, high)
        elif isinstance(user.layer, MaxPool):
            found |= _rivals(graph, user, low, high)
    return found


def _rivals(graph: Graph, node: Node, low: Tensor, high: Tensor) -> Tensor:
    """Which values may be the maximum of a window, where that is not known or it bends behind, and not cut off there."""
    layer = node.layer
    assert isinstance(layer, MaxPool)
    among, highs = layer.rivals(low, high), layer.windows(high, -torch.inf)
    behind = graph.users(graph.nodes.index(node))
    if len(behind) == 1 and isinstance(function := behind[0].layer, Activation):
        least, most = layer.forward(low), layer.forward(high)
        among = among | (highs > least[:, :, None]) & function.bends(least, most)[:, :, None]
        # where the activation has the same value anyway, it does not matter which is the maximum
        among = among & (function.forward(highs) > function.forward(least)[:, :, None])
    (count, _, _, height, width) = among.shape
    reach = [
        (n - 1) * s + d * (k - 1) + 1
        for n, s, d, k in zip((height, width), layer.stride, layer.dilation, layer.kernel, strict=True)
    ]
    flat = among.to(low.dtype).reshape(count, -1, height * width)
    back = functional.fold(flat, (reach[0], reach[1]), layer.kernel, layer.dilation, 0, layer.stride)
    top, left = layer.padding
    size = low.shape[2:]
    padded = functional.pad(back, (0, max(0, left + size[1] - reach[1]), 0, max(0, top + size[0] - reach[0])))
    return padded[:, :, top : top + size[0], left : left + size[1]] > 0


def _tighten(graph: Graph, number: int, box: Intervals, region: Region, wanted: Tensor) -> None:
    """Intersect the intervals of some neurons of a layer with those of CROWN."""
    back, shape = Backward(graph, box, region), graph.nodes[number].shape
    each = graph.reach(number)
    wanted = _widest(wanted, box.high[number] - box.low[number], max(1, MOST // (2 * sum(each))))
    places = wanted.nonzero()
    low, high = box.low[number].clone(), box.high[number].clone()
    for part in chunks(len(places), 2 * max(each)):
        place = places[part]
        rows = _units(place, shape)
        both = Rows(
            rows.owner.repeat(2),
            torch.cat([rows.weight, -rows.weight]),
            None if rows.corner is None else rows.corner.repeat(2, 1),
        )
        below, above = back.lowest(both, number).chunk(2)
        where = tuple(place.T)
        low[where] = torch.maximum(low[where], below.nan_to_num(-torch.inf))
        high[where] = torch.minimum(high[where], -above.nan_to_num(-torch.inf))
    box.low[number], box.high[number] = low, high


def _widest(wanted: Tensor, width: Tensor, most: int) -> Tensor:
    """At most so many neurons of an image."""
    flat = wanted.flatten(1)
    if int(flat.sum(1).max()) <= most:
        return wanted
    order = torch.where(flat, width.flatten(1), -1.0).topk(most, 1).indices
    return (torch.zeros_like(flat).scatter(1, order, True) & flat).view_as(wanted)


def _units(places: Tensor, shape: tuple[int, ...]) -> Rows:
    """One row for each neuron (image, and where it stands in its layer): a window of one place, or a whole row."""
    unit = torch.zeros(len(places), shape[0], dtype=torch.float64, device=places.device)
    unit.scatter_(1, places[:, 1:2], 1.0)
    if len(shape) == 1:
        return Rows(places[:, 0], unit)
    return Rows(places[:, 0], unit[:, :, None, None], places[:, 2:])
