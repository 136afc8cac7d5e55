"""The operations of torch for which there are bounds, each turned into layers of the graph."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from advcli.bounds.activations import Clip, LeakyRelu, sigmoid, tanh
from advcli.bounds.graph import Concat, Sum
from advcli.bounds.layers import Conv, Dense, Pad, Reshape, Scale
from advcli.bounds.pooling import MaxPool
from advcli.bounds.reader import Reader, Unreadable, argument, as_float32, pair
from advcli.bounds.rows import Shape

Operation = Callable[[Reader, fx.Node], Any]


def conv2d(reader: Reader, node: fx.Node) -> int:
    weight = reader.fixed(node.args[1])
    bias = argument(node, 2, "bias", None)
    stride, padding, dilation, groups = (
        argument(node, k, name, default)
        for k, (name, default) in enumerate((("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1)), start=3)
    )
    if isinstance(padding, str) or weight.ndim != 4:
        raise Unreadable
    layer = Conv(weight, None if bias is None else reader.fixed(bias), groups, pair(stride), pair(padding), pair(dilation))
    return reader.add(node, layer, reader.layer(node.args[0]))


def linear(reader: Reader, node: fx.Node) -> int:
    if len(reader.shape(node)) != 1:
        raise Unreadable
    bias = argument(node, 2, "bias", None)
    layer = Dense(reader.fixed(node.args[1]), None if bias is None else reader.fixed(bias))
    return reader.add(node, layer, reader.layer(node.args[0]))


def matmul(reader: Reader, node: fx.Node) -> int:
    if len(reader.shape(node)) != 1:
        raise Unreadable
    return reader.add(node, Dense(reader.fixed(node.args[1]).T.contiguous(), None), reader.layer(node.args[0]))


def addmm(reader: Reader, node: fx.Node) -> int:
    if node.kwargs:
        raise Unreadable
    layer = Dense(reader.fixed(node.args[2]).T.contiguous(), reader.fixed(node.args[0]).expand(reader.shape(node)))
    return reader.add(node, layer, reader.layer(node.args[1]))


def batch_norm(reader: Reader, node: fx.Node) -> tuple[int]:
    """w (x - m) / sqrt(v + eps) + b; libraries compute factor and shift in some order, of at most 16 roundings."""
    x, weight, bias, mean, var, _, eps = node.args
    number, mean, var = reader.layer(x), reader.fixed(mean), reader.fixed(var)
    factor = (var + float(eps)).rsqrt() * (1.0 if weight is None else reader.fixed(weight))  # type: ignore[arg-type]
    shape = reader.graph.nodes[number].shape
    view = (-1, *[1] * (len(shape) - 1))
    shift = torch.zeros_like(mean) if bias is None else reader.fixed(bias)
    rounded = ((mean * factor).abs() + shift.abs()).view(view)
    layer = Scale(factor.view(view), (shift - mean * factor).view(view), 16, rounded)
    return (reader.graph.add(layer, (number,), shape, reader.name),)


def scaled(reader: Reader, node: fx.Node, factor: Tensor, shift: Tensor, x: Any) -> int:
    shape = reader.shape(node)
    number = reader.layer(x)
    if reader.graph.nodes[number].shape != shape:
        raise Unreadable
    return reader.add(node, Scale(_of_sample(factor, shape), _of_sample(shift, shape)), number)


def _of_sample(value: Tensor, shape: Shape) -> Tensor:
    """A value that is added to a batch, in the shape of a sample."""
    if value.ndim > len(shape):
        if value.shape[0] != 1:
            raise Unreadable
        value = value[0]
    return value.view(*[1] * (len(shape) - value.ndim), *value.shape)


def add(reader: Reader, node: fx.Node, sign: float = 1.0) -> int:
    one, two = node.args[0], node.args[1]
    if node.kwargs.get("alpha", 1) != 1 or len(node.args) > 2:
        raise Unreadable
    numbers = [isinstance(other, fx.Node) and isinstance(reader.found[other], int) for other in (one, two)]
    if all(numbers):
        first, second = reader.layer(one), reader.layer(two)
        if len({reader.graph.nodes[k].shape for k in (first, second)}) > 1:
            raise Unreadable
        return reader.add(node, Sum(sign), first, second)
    unit = torch.ones((), dtype=torch.float64, device=reader.graph.device)
    if numbers[0]:
        return scaled(reader, node, unit, sign * reader.fixed(two), one)
    return scaled(reader, node, sign * unit, reader.fixed(one), two)


def sub(reader: Reader, node: fx.Node) -> int:
    return add(reader, node, -1.0)


def mul(reader: Reader, node: fx.Node) -> int:
    one, two = node.args[:2]
    x, factor = (one, two) if isinstance(one, fx.Node) and isinstance(reader.found[one], int) else (two, one)
    value = reader.fixed(factor)
    return scaled(reader, node, value, torch.zeros_like(value), x)


def div(reader: Reader, node: fx.Node) -> int:
    if node.kwargs or len(node.args) > 2:
        raise Unreadable
    value = 1 / reader.fixed(node.args[1])
    return scaled(reader, node, value, torch.zeros_like(value), node.args[0])


def neg(reader: Reader, node: fx.Node) -> int:
    unit = torch.ones((), dtype=torch.float64, device=reader.graph.device)
    return scaled(reader, node, -unit, torch.zeros_like(unit), node.args[0])


def relu(reader: Reader, node: fx.Node) -> int:
    return reader.add(node, LeakyRelu(), reader.layer(node.args[0]))


def leaky_relu(reader: Reader, node: fx.Node) -> int:
    leak = float(argument(node, 1, "negative_slope", 0.01))
    if not 0 <= leak <= 1:
        raise Unreadable
    return reader.add(node, LeakyRelu(as_float32(leak)), reader.layer(node.args[0]))


def clamp(reader: Reader, node: fx.Node) -> int:
    floor, ceiling = argument(node, 1, "min", None), argument(node, 2, "max", None)
    if any(isinstance(one, fx.Node) for one in (floor, ceiling)):
        raise Unreadable
    ends = [None if one is None else as_float32(one) for one in (floor, ceiling)]
    low, high = (-torch.inf if ends[0] is None else ends[0]), (torch.inf if ends[1] is None else ends[1])
    if low == 0 and high == torch.inf:
        return relu(reader, node)
    if not -torch.inf < low < high < torch.inf:
        raise Unreadable
    return reader.add(node, Clip(low, high), reader.layer(node.args[0]))


def hardtanh(reader: Reader, node: fx.Node) -> int:
    ends = ((1, "min_val", -1.0), (2, "max_val", 1.0))
    low, high = (as_float32(argument(node, *one)) for one in ends)
    return reader.add(node, Clip(low, high), reader.layer(node.args[0]))


def curve(made: Callable[[], Any]) -> Operation:
    return lambda reader, node: reader.add(node, made(), reader.layer(node.args[0]))


def max_pool2d(reader: Reader, node: fx.Node) -> Any:
    kernel = pair(node.args[1])
    stride = pair(argument(node, 2, "stride", None) or kernel)
    padding, dilation = pair(argument(node, 3, "padding", 0)), pair(argument(node, 4, "dilation", 1))
    layer = MaxPool(kernel, stride, padding, dilation, bool(argument(node, 5, "ceil_mode", False)))
    number = reader.layer(node.args[0])
    found = node.meta["val"]
    shape = tuple((found[0] if isinstance(found, tuple | list) else found).shape[1:])
    made = reader.graph.add(layer, (number,), shape, reader.name)
    return (made,) if isinstance(found, tuple | list) else made


def getitem(reader: Reader, node: fx.Node) -> int:
    found = reader.value(node.args[0])
    if not isinstance(found, tuple) or node.args[1] != 0:
        raise Unreadable
    return int(found[0])


def mean_over(reader: Reader, node: fx.Node, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> int:
    """A mean over windows as a convolution of every channel by itself."""
    number = reader.layer(node.args[0])
    channels, height, width = reader.graph.nodes[number].shape
    weight = torch.full((channels, 1, *kernel), 1 / prod(kernel), dtype=torch.float64, device=reader.graph.device)
    sizes = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip((height, width), padding, kernel, stride, strict=True)]
    layer = Conv(weight, None, channels, stride, padding)
    return reader.graph.add(layer, (number,), (channels, *sizes), reader.name)


def avg_pool2d(reader: Reader, node: fx.Node) -> int:
    kernel = pair(node.args[1])
    stride, padding = pair(argument(node, 2, "stride", None) or kernel), pair(argument(node, 3, "padding", 0))
    counted = argument(node, 5, "count_include_pad", True) or padding == (0, 0)
    made = mean_over(reader, node, kernel, stride, padding)
    if not counted or argument(node, 6, "divisor_override", None) or reader.graph.nodes[made].shape != reader.shape(node):
        raise Unreadable
    return made


def adaptive_avg_pool2d(reader: Reader, node: fx.Node) -> int:
    before, after = reader.graph.nodes[reader.layer(node.args[0])].shape, reader.shape(node)
    if before[1] % after[1] or before[2] % after[2]:
        raise Unreadable
    kernel = (before[1] // after[1], before[2] // after[2])
    return mean_over(reader, node, kernel, kernel, (0, 0))


def mean(reader: Reader, node: fx.Node) -> int:
    shape = reader.graph.nodes[reader.layer(node.args[0])].shape
    dims = {int(one) % (len(shape) + 1) for one in argument(node, 1, "dim", None) or (0,)}
    if len(shape) != 3 or dims != {2, 3}:
        raise Unreadable
    return _shaped(reader, node, mean_over(reader, node, shape[1:], shape[1:], (0, 0)))


def _shaped(reader: Reader, node: fx.Node, number: int) -> int:
    """The same values in the shape that the record says."""
    shape = reader.shape(node)
    before = reader.graph.nodes[number].shape
    if prod(before) != prod(shape):
        raise Unreadable
    return number if before == shape else reader.add(node, Reshape(shape), number)


def reshape(reader: Reader, node: fx.Node) -> int:
    return _shaped(reader, node, reader.layer(node.args[0]))


def same(reader: Reader, node: fx.Node) -> int:
    number = reader.layer(node.args[0])
    if node.meta["val"].dtype != torch.float32 or reader.shape(node) != reader.graph.nodes[number].shape:
        raise Unreadable
    return number


def dropout(reader: Reader, node: fx.Node) -> int:
    if argument(node, 2, "train", True):
        raise Unreadable("dropout that draws")
    return same(reader, node)


def concat(reader: Reader, node: fx.Node) -> int:
    shape, dim = reader.shape(node), int(argument(node, 1, "dim", 0))
    if dim % (len(shape) + 1) != 1:
        raise Unreadable
    return reader.add(node, Concat(), *(reader.layer(one) for one in node.args[0]))  # type: ignore[union-attr]


def pad(reader: Reader, node: fx.Node) -> int:
    sizes = [int(one) for one in node.args[1]]  # type: ignore[union-attr, arg-type]
    mode, value = argument(node, 2, "mode", "constant"), argument(node, 3, "value", 0)
    if isinstance(mode, int | float):  # constant_pad_nd takes the value third
        mode, value = "constant", mode
    if mode != "constant" or value not in (0, None) or len(sizes) not in (2, 4) or min(sizes) < 0 or len(reader.shape(node)) != 3:
        raise Unreadable
    left, right, top, bottom = [*sizes, 0, 0][:4]
    return reader.add(node, Pad((left, right, top, bottom)), reader.layer(node.args[0]))


OPERATIONS: dict[str, Operation] = {
    "conv2d": conv2d, "linear": linear, "mm": matmul, "matmul": matmul, "addmm": addmm,
    "_native_batch_norm_legit_no_training": batch_norm, "<built-in function getitem>": getitem,
    "add": add, "sub": sub, "mul": mul, "div": div, "neg": neg,
    "relu": relu, "leaky_relu": leaky_relu, "clamp": clamp, "clamp_min": clamp, "hardtanh": hardtanh,
    "sigmoid": curve(sigmoid), "tanh": curve(tanh),
    "max_pool2d": max_pool2d, "max_pool2d_with_indices": max_pool2d,
    "avg_pool2d": avg_pool2d, "adaptive_avg_pool2d": adaptive_avg_pool2d, "_adaptive_avg_pool2d": adaptive_avg_pool2d,
    "mean": mean, "view": reshape, "reshape": reshape, "flatten": reshape, "squeeze": reshape, "unsqueeze": reshape,
    "_unsafe_view": reshape, "clone": same, "contiguous": same, "alias": same, "detach": same, "to": same, "_to_copy": same,
    "dropout": dropout, "cat": concat, "constant_pad_nd": pad, "pad": pad,
}  # fmt: skip
