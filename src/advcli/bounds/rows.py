"""Linear functions of one layer's values, many at a time: the rows of CROWN's matrices.

Each row belongs to an image. Its coefficients are those of all the layer's values, or of a window of a picture outside of
which they are zero: what a convolution computed at one place depends on few values of the layers below it. Windows are laid
out with their channels last.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Shape = tuple[int, ...]
Pair = tuple[int, int]


class Field:
    """(N, *shape) numbers of a layer, one set for each image, from which windows are cut; around a picture there is 0."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self._padded: dict[Pair, Tensor] = {}
        self._largest: Tensor | None = None

    def windows(self, owner: Tensor, corner: Tensor, size: Pair) -> Tensor:
        """(M, C, h, w) a window of an image for each corner."""
        (height, width), (count, channels, tall, wide) = size, self.values.shape
        if size not in self._padded:
            around = functional.pad(self.values.permute(0, 2, 3, 1), (0, 0, width, width, height, height))
            self._padded[size] = around.contiguous().flatten()
        around, top, left = self._padded[size], corner[:, 0].clamp(-height, tall), corner[:, 1].clamp(-width, wide)
        wide += 2 * width
        lines = around.as_strided((count * (tall + 2 * height) * wide - width + 1, width * channels), (channels, 1))
        first = (owner * (tall + 2 * height) + top + height) * wide + left + width
        places = first[:, None] + torch.arange(height, device=first.device) * wide
        return lines.index_select(0, places.flatten()).view(-1, height, width, channels).permute(0, 3, 1, 2)

    @property
    def largest(self) -> Tensor:
        """(N, C) the largest number of every channel."""
        if self._largest is None:
            self._largest = self.values.flatten(2).amax(2)
        return self._largest


@dataclass(frozen=True, slots=True)
class Rows:
    """(M, *shape) coefficients of the images `owner` (M,); with a `corner` (M, 2) those of a window (M, C, h, w)."""

    owner: Tensor
    weight: Tensor
    corner: Tensor | None = None

    def of(self, field: Field) -> Tensor:
        """(M, ...) what stands for each coefficient among the numbers of a field; (1, ...) where all rows are of one image."""
        if self.corner is not None:
            height, width = self.weight.shape[2:]
            return field.windows(self.owner, self.corner, (height, width))
        one = self.owner[:1]
        return field.values[one] if bool((self.owner == one).all()) else field.values[self.owner]

    def total(self, field: Field) -> Tensor:
        """(M,) the sum of each row's coefficients times the numbers of a field."""
        return (self.weight * self.of(field)).flatten(1).sum(1)

    def total_of_sizes(self, field: Field) -> Tensor:
        """(M,) at least the sum of the sizes of the coefficients times the numbers of a field, which are not negative."""
        if self.corner is not None:
            return (self.weight.abs().sum((2, 3)) * field.largest[self.owner]).sum(1)
        return (self.weight.abs() * self.of(field)).flatten(1).sum(1)

    def total_of_shared(self, values: Tensor, shape: Shape) -> Tensor:
        """(M,) the sum of the coefficients times numbers that all images share, broadcast to a layer of this shape."""
        if values.ndim == 3 and values.shape[1:] == (1, 1):  # one for each channel
            return self.weight.sum((2, 3)) @ values.flatten().expand(shape[0])
        return (self.weight * self.shared(values.expand(shape))).flatten(1).sum(1)

    def shared(self, values: Tensor) -> Tensor:
        """What stands for each coefficient among numbers that all images share."""
        if self.corner is None:
            return values
        return Rows(torch.zeros_like(self.owner), self.weight, self.corner).of(Field(values[None]))

    def below(self, parts: Iterable[tuple[Pair, Tensor]], stride: Pair, padding: Pair, shape: Shape, size: Pair) -> "Rows":
        """Rows of a layer of this shape, out of (M, C, h, w) parts, each with its place in a window of this size below.

        A part's value at (y, x) goes to (y, x) times the stride, moved by its place.
        """
        height, width = (size[k] + (self.weight.shape[2 + k] - 1) * stride[k] for k in (0, 1))
        back = self.weight.new_zeros(len(self.owner), height, width, shape[0]).permute(0, 3, 1, 2)
        for (top, left), part in parts:
            tall, wide = ((part.shape[2 + k] - 1) * stride[k] + 1 for k in (0, 1))
            back[:, :, top : top + tall : stride[0], left : left + wide : stride[1]].add_(part)
        device = self.owner.device
        if self.corner is None:
            corner = torch.tensor([padding], device=device).neg().expand(len(self.owner), 2)
            return Rows(self.owner, back, corner).whole(shape)
        return Rows(
            self.owner, back, self.corner * torch.tensor(stride, device=device) - torch.tensor(padding, device=device)
        ).inside(shape)

    def inside(self, shape: Shape) -> "Rows":
        """Without the coefficients of what lies outside a picture of this shape; as whole rows where windows are no smaller."""
        assert self.corner is not None
        height, width = self.weight.shape[2:]
        if height * width >= shape[1] * shape[2]:
            return self.whole(shape)
        rows = self.corner[:, :1] + torch.arange(height, device=self.corner.device)
        columns = self.corner[:, 1:] + torch.arange(width, device=self.corner.device)
        held = ((rows >= 0) & (rows < shape[1]))[:, :, None] & ((columns >= 0) & (columns < shape[2]))[:, None]
        weight = self.weight if bool(held.all()) else self.weight * held[:, None]
        return Rows(self.owner, weight, self.corner)

    def whole(self, shape: Shape) -> "Rows":
        """The same rows with a coefficient for every value of the layer."""
        if self.corner is None:
            return self
        if bool((self.corner == self.corner[:1]).all()):  # all at one place
            top, left = self.corner[0].tolist()
            after = shape[2] - left - self.weight.shape[3], shape[1] - top - self.weight.shape[2]
            return Rows(self.owner, functional.pad(self.weight, (left, after[0], top, after[1])))
        weight = self.weight
        for dim, size in ((2, shape[1]), (3, shape[2])):
            place = torch.arange(size, device=weight.device) - self.corner[:, dim - 2 : dim - 1]
            held = (place >= 0) & (place < weight.shape[dim])
            view = (len(weight), 1, size, 1) if dim == 2 else (len(weight), 1, 1, size)
            target = (*weight.shape[:dim], size, *weight.shape[dim + 1 :])
            index = place.clamp(0, weight.shape[dim] - 1).view(view).expand(target)
            weight = weight.gather(dim, index) * held.view(view)
        return Rows(self.owner, weight)

    def plus(self, other: "Rows", shape: Shape) -> "Rows":
        """The sum of two sets of rows of the same images."""
        one, two = self, other
        if one.corner is not None and two.corner is not None:
            apart = two.corner - one.corner
            if bool((apart == apart[:1]).all()):
                return _united(one, two, apart[0].tolist())
        return Rows(one.owner, one.whole(shape).weight + two.whole(shape).weight)


def _united(one: Rows, two: Rows, apart: list[int]) -> Rows:
    """The sum of two sets of windows, the second always so far from the first."""
    assert one.corner is not None
    start = [min(0, d) for d in apart]
    stop = [max(a, d + b) for d, a, b in zip(apart, one.weight.shape[2:], two.weight.shape[2:], strict=True)]

    def placed(weight: Tensor, at: list[int]) -> Tensor:
        (top, left), (height, width) = at, weight.shape[2:]
        after = stop[1] - left - width, stop[0] - top - height
        return functional.pad(weight, (left - start[1], after[0], top - start[0], after[1]))

    corner = one.corner + torch.tensor(start, device=one.corner.device)
    return Rows(one.owner, placed(one.weight, [0, 0]) + placed(two.weight, apart), corner)
