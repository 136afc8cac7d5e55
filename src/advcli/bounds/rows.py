"""Linear functions of one layer's values, many at a time: the rows of CROWN's matrices.

Each row belongs to an image. Its coefficients are those of all the layer's values, or of a window of a picture outside of
which they are zero: what a convolution computed at one place depends on few values of the layers below it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """(M, *shape) coefficients of the images `owner` (M,); with a `corner` (M, 2) those of a window (M, C, h, w)."""

    owner: Tensor
    weight: Tensor
    corner: Tensor | None = None

    def of(self, values: Tensor) -> Tensor:
        """(M, ...) what stands for each coefficient in (N, *shape) values, one set for each image; 0 outside the picture."""
        if self.corner is None:
            return values[self.owner]
        (height, width), top, left = self.weight.shape[2:], self.corner[:, 0], self.corner[:, 1]
        before = [max(0, -int(one.min())) for one in (left, top)]
        sizes = zip((left, top), (width, height), (values.shape[3], values.shape[2]), strict=True)
        after = [max(0, int(one.max()) + size - most) for one, size, most in sizes]
        padded = functional.pad(values, (before[0], after[0], before[1], after[1]))
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        return windows[self.owner, :, top + before[1], left + before[0]]

    def shared(self, values: Tensor) -> Tensor:
        """The same of (*shape) values that all images share."""
        if self.corner is None:
            return values
        return Rows(torch.zeros_like(self.owner), self.weight, self.corner).of(values[None])

    def total(self, values: Tensor) -> Tensor:
        """(M,) the sum of each row's coefficients times (N, *shape) values."""
        return (self.weight * self.of(values)).flatten(1).sum(1)

    def corner_below(self, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        """The corner of the window that this one was computed from."""
        assert self.corner is not None
        device = self.corner.device
        return self.corner * torch.tensor(stride, device=device) - torch.tensor(padding, device=device)

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
