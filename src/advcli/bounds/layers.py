"""The linear layers for which there are bounds: y = W x + b, forwards, in absolute values, and backwards.

Each is written for one sample, whatever the batch, in float64. `terms` is the number of products in one sum, that of the
float32 layer as it runs; `backward` takes rows a of linear functions a y to rows of a W x + a b.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from advcli.bounds.rows import Rows, Shape

FEW = 256  # coefficients below one value, up to which a convolution takes one product of matrices


class Linear:
    """A linear map of one input."""

    terms = 0  # of an exact layer
    sums = False  # whether those products are what tensor cores are made for

    def forward(self, x: Tensor) -> Tensor:
        """W x + b."""
        raise NotImplementedError

    def absolute(self, x: Tensor) -> Tensor:
        """|W| x, for sizes and radii."""
        raise NotImplementedError

    def offset(self) -> Tensor | None:
        """b, in a shape that can be added to samples of the output."""
        return None

    def rounded(self, size: Tensor) -> Tensor:
        """What the roundings are a share of: |W| x + |b| at the largest |x|."""
        found, offset = self.absolute(size), self.offset()
        return found if offset is None else found + offset.abs()

    def backward(self, rows: Rows, shape: Shape) -> Rows:
        """Rows of the output as rows of the input, which has this shape; without what b adds."""
        raise NotImplementedError


@dataclass
class Dense(Linear):
    """A matrix."""

    weight: Tensor
    bias: Tensor | None

    def __post_init__(self) -> None:
        self.terms, self.size, self.sums = self.weight.shape[1] + 1, self.weight.abs(), True

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)

    def absolute(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.size)

    def offset(self) -> Tensor | None:
        return self.bias

    def backward(self, rows: Rows, shape: Shape) -> Rows:
        return Rows(rows.owner, rows.weight @ self.weight)


@dataclass
class Conv(Linear):
    """A convolution with zeros around; a mean over windows is one too."""

    weight: Tensor
    bias: Tensor | None
    groups: int
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        self.terms, self.size, self.sums = self.weight[0].numel() + 1, self.weight.abs(), True

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def absolute(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.size, None, self.stride, self.padding, self.dilation, self.groups)

    def offset(self) -> Tensor | None:
        return None if self.bias is None else self.bias.view(-1, 1, 1)

    def backward(self, rows: Rows, shape: Shape) -> Rows:
        kernel = self.weight.shape[2:]
        places = [(y * self.dilation[0], x * self.dilation[1]) for y in range(kernel[0]) for x in range(kernel[1])]
        size = (self.dilation[0] * (kernel[0] - 1) + 1, self.dilation[1] * (kernel[1] - 1) + 1)
        parts = zip(places, self._times(rows.weight.permute(0, 2, 3, 1)), strict=True)
        return rows.below(parts, self.stride, self.padding, shape, size)

    def _times(self, weight: Tensor) -> Iterator[Tensor]:
        """(M, h, w, C) coefficients times the weights at each place of the kernel, one place after the other."""
        matrices = self.weight.flatten(2).permute(2, 0, 1)  # (places, channels above, channels below)
        if self.groups > 1:
            grouped = weight.reshape(*weight.shape[:3], self.groups, 1, -1)
            for one in matrices:
                yield (grouped @ one.reshape(self.groups, -1, one.shape[1])).flatten(3).permute(0, 3, 1, 2)
        elif matrices[:, 0].numel() <= FEW:  # all at once
            whole = weight @ matrices.permute(1, 0, 2).flatten(1)
            for one in torch.split(whole, matrices.shape[2], 3):
                yield one.permute(0, 3, 1, 2)
        else:
            for one in matrices:
                yield (weight @ one).permute(0, 3, 1, 2)


@dataclass
class Scale(Linear):
    """A factor and a shift for every value; both in the shape of a sample, or of one for each channel."""

    factor: Tensor
    shift: Tensor
    terms: int = 2
    hidden: Tensor | None = None  # the size of what the shift was computed from, where that was larger

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor + self.shift

    def absolute(self, x: Tensor) -> Tensor:
        return x * self.factor.abs()

    def offset(self) -> Tensor | None:
        return self.shift

    def rounded(self, size: Tensor) -> Tensor:
        return self.absolute(size) + (self.shift.abs() if self.hidden is None else self.hidden)

    def backward(self, rows: Rows, shape: Shape) -> Rows:
        factor = self.factor.expand(shape)
        if rows.corner is not None and factor.ndim == 3 and bool((factor == factor[:, :1, :1]).all()):
            return Rows(rows.owner, rows.weight * factor[:, :1, :1], rows.corner)
        return Rows(rows.owner, rows.weight * rows.shared(factor), rows.corner)


@dataclass
class Reshape(Linear):
    """The same values in another shape."""

    shape: Shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.shape)

    def absolute(self, x: Tensor) -> Tensor:
        return self.forward(x)

    def backward(self, rows: Rows, shape: Shape) -> Rows:
        whole = rows.whole(self.shape)
        return Rows(rows.owner, whole.weight.reshape(-1, *shape))


@dataclass
class Pad(Linear):
    """Zeros around the picture: left, right, top, bottom."""

    sizes: tuple[int, int, int, int]

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x, self.sizes)

    def absolute(self, x: Tensor) -> Tensor:
        return self.forward(x)

    def backward(self, rows: Rows, shape: Shape) -> Rows:
        left, _, top, _ = self.sizes
        if rows.corner is None:
            height, width = shape[1:]
            return Rows(rows.owner, rows.weight[:, :, top : top + height, left : left + width])
        moved = rows.corner - torch.tensor([top, left], device=rows.corner.device)
        return Rows(rows.owner, rows.weight, moved).inside(shape)
