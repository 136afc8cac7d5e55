"""The operations of a stored graph that are no layers: each maps tensors and plain attributes to a tensor.

An image is a row of the first dimension. Attributes are numbers, words, truth values and lists of them.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

TYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool}
Ints = Sequence[int]
Operation = Callable[..., Tensor]


def clamp(x: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    return x if low is None and high is None else torch.clamp(x, low, high)


def div(a: Tensor, b: Tensor) -> Tensor:
    """a / b; of whole numbers, towards zero."""
    whole = not (a.is_floating_point() or b.is_floating_point())
    return torch.div(a, b, rounding_mode="trunc") if whole else torch.div(a, b)


def mod(a: Tensor, b: Tensor, fmod: bool = False) -> Tensor:
    return torch.fmod(a, b) if fmod else torch.remainder(a, b)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


def hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.clamp(alpha * x + beta, 0, 1)


def selu(x: Tensor, alpha: float, gamma: float) -> Tensor:
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0)))


def swish(x: Tensor, alpha: float) -> Tensor:
    return x * torch.sigmoid(alpha * x)


def reduce(x: Tensor, how: str, axes: Ints, keep: bool) -> Tensor:
    """One number for the values along some axes."""
    if not axes:
        return x
    if how == "prod":
        for axis in sorted((one % x.ndim for one in axes), reverse=True):
            x = x.prod(axis, keepdim=keep)
        return x
    found: Tensor = REDUCTIONS[how](x, dim=tuple(axes), keepdim=keep)
    return found


def total(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    return x.sum(dim, keepdim=keepdim)


REDUCTIONS: dict[str, Operation] = {
    "mean": torch.mean,
    "sum": total,
    "max": torch.amax,
    "min": torch.amin,
    "logsumexp": torch.logsumexp,
    "l1": partial(torch.linalg.vector_norm, ord=1),
    "l2": torch.linalg.vector_norm,
}


def softmax(x: Tensor, axis: int, log: bool = False) -> Tensor:
    return torch.log_softmax(x, axis) if log else torch.softmax(x, axis)


def softmax_of_rest(x: Tensor, axis: int, log: bool = False) -> Tensor:
    """Over all axes from this one on together, as ONNX did before its version 13."""
    return softmax(x.flatten(axis), -1, log).reshape(x.shape)


def reshape(x: Tensor, shape: Ints) -> Tensor:
    return x.reshape(tuple(shape))


def transpose(x: Tensor, perm: Ints) -> Tensor:
    return x.permute(tuple(perm))


def expand(x: Tensor, shape: Ints) -> Tensor:
    return x.expand(tuple(shape))


def squeeze(x: Tensor, axes: Ints) -> Tensor:
    return x.squeeze(tuple(axes))


def unsqueeze(x: Tensor, axes: Ints) -> Tensor:
    for axis in axes:
        x = x.unsqueeze(axis)
    return x


def concat(*parts: Tensor, axis: int) -> Tensor:
    return torch.cat(parts, axis)


def cut(x: Tensor, axis: int, start: int, stop: int, step: int) -> Tensor:
    """Every step-th entry along an axis."""
    found = x.narrow(axis, start, stop - start)
    return found if step == 1 else found[(slice(None),) * axis + (slice(None, None, step),)]


def select(x: Tensor, axis: int, index: int) -> Tensor:
    return x.select(axis, index)


def gather(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """The entries of an axis at these places."""
    found = x.index_select(axis, index.reshape(-1))
    return found.reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def pad(x: Tensor, pads: Ints, mode: str = "constant", value: float = 0.0) -> Tensor:
    """Values around: pairs of before and after, from the last axis on."""
    return functional.pad(x, tuple(pads), mode, value) if mode == "constant" else functional.pad(x, tuple(pads), mode)


def tile(x: Tensor, repeats: Ints) -> Tensor:
    return x.repeat(tuple(repeats))


def cast(x: Tensor, to: str) -> Tensor:
    return x.to(TYPES[to])


def avg_pool(x: Tensor, kernel: Ints, stride: Ints, padding: Ints, ceil: bool, counted: bool) -> Tensor:
    return functional.avg_pool2d(x, tuple(kernel), tuple(stride), tuple(padding), ceil, counted)


def conv_transpose(x: Tensor, weight: Tensor, bias: Tensor | None = None, **how: object) -> Tensor:
    return functional.conv_transpose2d(x, weight, bias, **how)  # type: ignore[arg-type]  # stride, padding, ... of the graph


def layer_norm(x: Tensor, scale: Tensor | None = None, bias: Tensor | None = None, *, shape: Ints, eps: float) -> Tensor:
    return functional.layer_norm(x, list(shape), scale, bias, eps)


def instance_norm(x: Tensor, scale: Tensor, bias: Tensor, eps: float) -> Tensor:
    return functional.instance_norm(x, weight=scale, bias=bias, eps=eps)


def group_norm(x: Tensor, scale: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    return functional.group_norm(x, groups, scale, bias, eps)


def lrn(x: Tensor, size: int, alpha: float, beta: float, bias: float) -> Tensor:
    return functional.local_response_norm(x, size, alpha, beta, bias)


def unit(x: Tensor, axis: int, order: int) -> Tensor:
    """Divided by its norm along an axis."""
    size: Tensor = torch.linalg.vector_norm(x, order, axis, keepdim=True)
    return x / size.clamp_min(1e-12)


def resize(x: Tensor, size: Ints, mode: str, corners: bool | None = None, antialias: bool = False) -> Tensor:
    return functional.interpolate(x, tuple(size), mode=mode, align_corners=corners, antialias=antialias)


def depth_to_space(x: Tensor, block: int, columns_first: bool) -> Tensor:
    n, c, h, w = x.shape
    if columns_first:
        return functional.pixel_shuffle(x, block)
    blocks = x.reshape(n, block, block, c // block**2, h, w)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(n, c // block**2, h * block, w * block)


def space_to_depth(x: Tensor, block: int) -> Tensor:
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // block, block, w // block, block)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, c * block**2, h // block, w // block)


def einsum(*parts: Tensor, equation: str) -> Tensor:
    return torch.einsum(equation, *parts)


def scatter_nd(x: Tensor, index: Tensor, updates: Tensor) -> Tensor:
    found = x.clone()
    found[tuple(index.reshape(-1, index.shape[-1]).T)] = updates.reshape(-1, *x.shape[index.shape[-1] :])
    return found


PLAIN: dict[str, Operation] = {  # without attributes
    "abs": torch.abs, "neg": torch.neg, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "reciprocal": torch.reciprocal,
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "erf": torch.erf, "floor": torch.floor, "ceil": torch.ceil,
    "round": torch.round, "sign": torch.sign, "softplus": functional.softplus, "softsign": functional.softsign,
    "mish": functional.mish, "hard_swish": functional.hardswish, "sin": torch.sin, "cos": torch.cos, "not": torch.logical_not,
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": div, "pow": torch.pow, "maximum": torch.maximum,
    "minimum": torch.minimum, "equal": torch.eq, "greater": torch.gt, "less": torch.lt, "greater_equal": torch.ge,
    "less_equal": torch.le, "and": torch.logical_and, "or": torch.logical_or, "where": torch.where, "matmul": torch.matmul,
    "prelu": prelu, "scatter_nd": scatter_nd,
}  # fmt: skip
OPERATIONS: dict[str, Operation] = {
    **PLAIN,
    "leaky_relu": lambda x, slope: functional.leaky_relu(x, slope),
    "elu": lambda x, alpha: functional.elu(x, alpha),
    "celu": lambda x, alpha: functional.celu(x, alpha),
    "gelu": lambda x, approximate: functional.gelu(x, approximate=approximate),
    **{one.__name__: one for one in (
        clamp, mod, hard_sigmoid, selu, swish, reduce, softmax, softmax_of_rest, reshape, transpose, expand, squeeze, unsqueeze,
        concat, cut, select, gather, pad, tile, cast, avg_pool, conv_transpose, layer_norm, instance_norm, group_norm, lrn, unit,
        resize, depth_to_space, space_to_depth, einsum,
    )},
}  # fmt: skip
