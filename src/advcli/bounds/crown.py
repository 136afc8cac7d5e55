"""CROWN: linear functions of a layer bounded from below by linear functions of the image (arXiv:1811.00866).

A row a y of the last layer becomes, layer by layer backwards, a row of the layer before: through y = W x + b it is a W with
a b aside; through an activation, each positive coefficient takes a line below it and each negative one a line above it. If
float32 may change a layer's values by e, |a| e is subtracted. The lowest value on the ball of the row that arrives at the image
is known.
"""

from collections.abc import MutableMapping, Sequence

import torch
from torch import Tensor

from advcli.bounds.activations import Activation, Choice
from advcli.bounds.graph import Concat, Graph, Input, Sum
from advcli.bounds.interval import Intervals
from advcli.bounds.layers import Linear
from advcli.bounds.pooling import MaxPool, Weights
from advcli.bounds.region import Ball, Region
from advcli.bounds.rows import Field, Rows

Shares = MutableMapping[int, Tensor]  # of activations: for every coefficient how much of the second line is taken


class Backward:
    """Rows on their way back through a network whose layers have known intervals."""

    def __init__(self, graph: Graph, box: Intervals, region: Region) -> None:
        self.graph, self.box, self.ball = graph, box, Ball(region)
        self._slack = {k: Field(one) for k, one in enumerate(box.slack) if one is not None}
        self._lines: dict[int, Lines] = {}
        self._weights: dict[int, Planes] = {}

    def lowest(self, rows: Rows, start: int, *, exact: bool = False, shares: Shares | None = None) -> Tensor:
        """(M,) below every value that rows of layer `start` take on the ball.

        With `shares`, by these mixtures of lines; those that are missing are added, as CROWN has them.
        """
        left, added = {start: rows}, rows.weight.new_zeros(len(rows.owner))
        for number in range(start, 0, -1):
            if number in left:
                parts, more = self.step(left.pop(number), number, shares)
                added = added + more
                self._spread(left, number, parts)
        return added + self.ball.lowest(left[0], exact=exact) if 0 in left else added

    def lowest_of_tail(self, rows: Rows, start: int) -> Tensor:
        """The same, but only through the linear layers at the end: from the intervals of the last activations or maxima."""
        left, added = {start: rows}, rows.weight.new_zeros(len(rows.owner))
        for number in range(start, -1, -1):
            if number not in left:
                continue
            here = left.pop(number)
            if isinstance(self.graph.nodes[number].layer, Input) and self.ball.region.norm != "linf":
                added = added + self.ball.lowest(here)
            elif isinstance(self.graph.nodes[number].layer, Activation | MaxPool | Input):
                low, high = here.of(Field(self.box.low[number])), here.of(Field(self.box.high[number]))
                added = added + torch.where(here.weight > 0, here.weight * low, here.weight * high).flatten(1).sum(1)
            else:
                parts, more = self.step(here, number)
                added = added + more
                self._spread(left, number, parts)
        return added

    def _spread(self, left: dict[int, Rows], number: int, parts: Sequence[Rows]) -> None:
        for below, part in zip(self.graph.nodes[number].inputs, parts, strict=True):
            left[below] = left[below].plus(part, self.graph.nodes[below].shape) if below in left else part

    def step(self, rows: Rows, number: int, shares: Shares | None = None) -> tuple[list[Rows], Tensor]:
        """Rows of one layer as rows of each of its inputs, and the constants that are added."""
        node = self.graph.nodes[number]
        layer, shape = node.layer, self.graph.nodes[node.inputs[0]].shape
        added = rows.weight.new_zeros(len(rows.owner))
        if number in self._slack:
            added = added - rows.total_of_sizes(self._slack[number])
        if isinstance(layer, Linear):
            if (offset := layer.offset()) is not None:
                added = added + rows.total_of_shared(offset, node.shape)
            return [layer.backward(rows, shape)], added
        if isinstance(layer, Sum):
            return [rows, Rows(rows.owner, layer.sign * rows.weight, rows.corner)], added
        if isinstance(layer, Concat):
            sizes = [self.graph.nodes[k].shape[0] for k in node.inputs]
            return [Rows(rows.owner, one, rows.corner) for one in torch.split(rows.weight, sizes, 1)], added
        if isinstance(layer, Activation):
            part, more = self._through_activation(rows, number, layer, shares)
            return [part], added + more
        assert isinstance(layer, MaxPool)
        if number not in self._weights:
            below = node.inputs[0]
            self._weights[number] = Planes(layer.weights(self.box.low[below], self.box.high[below]))
        part, more = _through_maximum(rows, layer, self._weights[number], shape)
        return [part], added + more

    def _through_activation(self, rows: Rows, number: int, layer: Activation, shares: Shares | None) -> tuple[Rows, Tensor]:
        if number not in self._lines:
            below = self.graph.nodes[number].inputs[0]
            self._lines[number] = Lines(*layer.lines(self.box.low[below], self.box.high[below]))
        lines = self._lines[number]
        if shares is not None and number not in shares and (lines.under.free or lines.over.free):
            shares[number] = lines.start(rows)
        share = None if shares is None else shares.get(number)
        positive = rows.weight.clamp_min(0)
        negative = rows.weight - positive
        factor = positive * lines.under.slope(rows, share) + negative * lines.over.slope(rows, share)
        added = lines.under.added(rows, positive, share) + lines.over.added(rows, negative, share)
        return Rows(rows.owner, factor, rows.corner), added


class Side:
    """The lines on one side of an activation, and their mixture for each coefficient of some rows."""

    def __init__(self, choice: Choice) -> None:
        one, two = choice.first, choice.second
        self.free = one is not two
        self.bare = not bool((one.offset != 0).any() | (two.offset != 0).any())  # lines through the origin
        self.start = [Field(torch.where(choice.start > 0, b, a)) for a, b in ((one.slope, two.slope), (one.offset, two.offset))]
        self.share = Field(choice.start)
        self.first = [Field(one.slope), Field(one.offset)]
        self.apart = [Field(two.slope - one.slope), Field(two.offset - one.offset)] if self.free else []

    def slope(self, rows: Rows, share: Tensor | None) -> Tensor:
        """The slope of the line for each coefficient."""
        return self._mixed(rows, share, 0)

    def added(self, rows: Rows, part: Tensor, share: Tensor | None) -> Tensor:
        """(M,) the sum of coefficients of one sign times the lines' offsets."""
        return part.new_zeros(len(part)) if self.bare else (part * self._mixed(rows, share, 1)).flatten(1).sum(1)

    def _mixed(self, rows: Rows, share: Tensor | None, part: int) -> Tensor:
        if share is None or not self.free:
            return rows.of(self.start[part])
        return rows.of(self.first[part]) + share * rows.of(self.apart[part])


class Lines:
    """The lines of one activation."""

    def __init__(self, under: Choice, over: Choice) -> None:
        self.under, self.over = Side(under), Side(over)

    def start(self, rows: Rows) -> Tensor:
        """CROWN's own mixture for each coefficient, chosen by its sign, as a variable to optimize."""
        under, over = rows.of(self.under.share), rows.of(self.over.share)
        return torch.where(rows.weight > 0, under, over).detach().clone().requires_grad_()


class Planes:
    """The weights below and above the maxima of one layer."""

    def __init__(self, weights: Weights) -> None:
        self.below = [Field(weights.below[:, :, k]) for k in range(weights.below.shape[2])]
        self.above = [Field(weights.above[:, :, k]) for k in range(weights.above.shape[2])]
        self.offset = Field(weights.offset)


def _through_maximum(rows: Rows, layer: MaxPool, planes: Planes, shape: tuple[int, ...]) -> tuple[Rows, Tensor]:
    """Each coefficient goes to the values of its window, by the weights below or above the maximum."""
    positive, negative = rows.weight.clamp_min(0), rows.weight.clamp_max(0)
    parts = [
        positive * rows.of(below) + negative * rows.of(above) for below, above in zip(planes.below, planes.above, strict=True)
    ]
    added = (negative * rows.of(planes.offset)).flatten(1).sum(1)
    return layer.backward(rows, parts, shape), added
