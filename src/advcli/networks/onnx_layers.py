"""ONNX nodes with windows, weights or statistics: convolutions, matrices, pooling, norms."""

import math
from typing import Any

import torch
from torch import Tensor

from advcli.networks.onnx_node import Node
from advcli.networks.onnx_values import Ref, Unsupported, Value

LOWEST = float(torch.finfo(torch.float32).min)
FLAT = 2  # dimensions of an image


def conv(node: Node) -> Value:
    x, weight = node.image(), node.fixed(1)
    if weight.ndim != FLAT + 2 or len(x.shape) != FLAT + 2:
        raise Unsupported(f"is of {weight.ndim - 2} dimensions; only those of images, 2, are read")
    stride, dilation = _sizes(node, "strides"), _sizes(node, "dilations")
    before, after = _pads(node, list(weight.shape[2:]), stride, dilation)
    x = _padded(node, x, before, after, 0.0) if before != after else x
    padding, groups = ([0, 0] if before != after else before), int(node.attributes.get("group", 1))
    return _convolution(node, x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)


def _convolution(node: Node, x: Ref, weight: Tensor, groups: int, **how: list[int]) -> Value:
    out, bias = weight.shape[0], None if node.optional(2) is None else node.fixed(2)
    given = weight.shape[1] * groups
    attributes = {"given": given, "out": out, "kernel": list(weight.shape[2:]), "bias": bias is not None, "groups": groups, **how}
    return node.trace.layer("conv", x, attributes, weight=weight, **({} if bias is None else {"bias": bias}))


def conv_transpose(node: Node) -> Value:
    x, weight = node.image(), node.fixed(1)
    if weight.ndim != FLAT + 2 or "output_shape" in node.attributes or _padding_kind(node) != "NOTSET":
        raise Unsupported("has a form that is not read; give it explicit pads, in two dimensions")
    pads = node.whole("pads") or [0] * 4
    if pads[:2] != pads[2:]:
        raise Unsupported("has other pads before than after")
    more = [node.fixed(2)] if node.optional(2) is not None else []
    output = node.whole("output_padding") or [0, 0]
    how = {"stride": _sizes(node, "strides"), "padding": pads[:2], "dilation": _sizes(node, "dilations")}
    return node.add("conv_transpose", x, weight, *more, **how, output_padding=output, groups=int(node.attributes.get("group", 1)))


def _sizes(node: Node, name: str) -> list[int]:
    return node.whole(name) or [1] * FLAT


def _padding_kind(node: Node) -> str:
    return str(node.attributes.get("auto_pad", "NOTSET"))


def _pads(node: Node, kernel: list[int], stride: list[int], dilation: list[int]) -> tuple[list[int], list[int]]:
    """Rows and columns that are put before and after."""
    kind = _padding_kind(node)
    if kind == "NOTSET":
        pads = node.whole("pads") or [0] * 4
        return pads[:2], pads[2:]
    if kind == "VALID":
        return [0, 0], [0, 0]
    sizes = zip(node.shape()[2:], kernel, stride, dilation, strict=True)
    whole = [max(0, (math.ceil(size / s) - 1) * s + d * (k - 1) + 1 - size) for size, k, s, d in sizes]
    less, more = [one // 2 for one in whole], [one - one // 2 for one in whole]
    return (less, more) if kind == "SAME_UPPER" else (more, less)


def _padded(node: Node, x: Ref, before: list[int], after: list[int], value: float) -> Ref:
    found = node.add("pad", x, pads=[before[1], after[1], before[0], after[0]], value=value)
    assert isinstance(found, Ref)
    return found


def gemm(node: Node) -> Value:
    """A linear layer, where the matrix and the offset are constants."""
    x, weight = node.value(0), node.value(1)
    x = node.add("transpose", x, perm=[1, 0]) if node.attributes.get("transA") else x
    if not node.attributes.get("transB"):
        weight = node.add("transpose", weight, perm=[1, 0])
    alpha, beta, offset = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0), node.optional(2)
    if isinstance(x, Ref) and isinstance(weight, Tensor) and (offset is None or isinstance(offset, Tensor)):
        bias = None if offset is None else offset.float() * beta
        if bias is None or bias.numel() in (1, weight.shape[0]):
            return linear(node, x, weight * alpha, None if bias is None else bias.reshape(-1).expand(weight.shape[0]))
    found = node.add("matmul", x, node.add("transpose", weight, perm=[1, 0]))
    found = found if alpha == 1 else node.add("mul", found, torch.tensor(alpha))
    if offset is None:
        return found
    return node.add("add", found, offset if beta == 1 else node.add("mul", offset, torch.tensor(beta)))


def matmul(node: Node) -> Value:
    x, weight = node.value(0), node.value(1)
    if isinstance(x, Ref) and isinstance(weight, Tensor) and weight.ndim == 2 and len(x.shape) > 1:
        return linear(node, x, weight.T, None)
    return node.add("matmul", x, weight)


def linear(node: Node, x: Ref, weight: Tensor, bias: Tensor | None) -> Value:
    attributes = {"given": weight.shape[1], "out": weight.shape[0], "bias": bias is not None}
    return node.trace.layer("linear", x, attributes, weight=weight, **({} if bias is None else {"bias": bias}))


def batch_norm(node: Node) -> Value:
    if node.attributes.get("training_mode"):
        raise Unsupported("computes statistics over the batch: export the network in evaluation mode, after net.eval()")
    x, eps = node.image(), float(node.attributes.get("epsilon", 1e-5))
    weight, bias, mean, var = (node.fixed(place) for place in range(1, 5))
    if len(x.shape) == FLAT + 2:
        weights = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": var}
        return node.trace.layer("norm", x, {"channels": x.shape[1], "eps": eps}, **weights)
    scale = weight.double() / (var.double() + eps).sqrt()
    shape = [-1, *[1] * (len(x.shape) - 2)]
    shift = (bias.double() - mean.double() * scale).float().reshape(shape)
    return node.add("add", node.add("mul", x, scale.float().reshape(shape)), shift)


def max_pool(node: Node) -> Value:
    x, (kernel, stride, dilation, before, after, ceil) = node.image(), _window(node)
    if before != after:
        x, before = _padded(node, x, before, after, LOWEST), [0, 0]
    how = {"kernel": kernel, "stride": stride, "padding": before, "dilation": dilation, "ceil": ceil}
    return node.trace.layer("max_pool", x, how)


def average_pool(node: Node) -> Value:
    x, (kernel, stride, dilation, before, after, ceil) = node.image(), _window(node)
    counted = bool(node.attributes.get("count_include_pad", 0))
    if dilation != [1, 1] or (before != after and not counted):
        raise Unsupported("has windows that are not read: with gaps, or with other pads before than after")
    if before != after:
        x, before = _padded(node, x, before, after, 0.0), [0, 0]
    return node.add("avg_pool", x, kernel=kernel, stride=stride, padding=before, ceil=ceil, counted=counted)


def _window(node: Node) -> tuple[list[int], list[int], list[int], list[int], list[int], bool]:
    kernel, stride, dilation = node.whole("kernel_shape") or [], _sizes(node, "strides"), _sizes(node, "dilations")
    if len(kernel) != FLAT or node.outputs > 1:
        raise Unsupported("is read for images only, and gives one value")
    before, after = _pads(node, kernel, stride, dilation)
    return kernel, stride, dilation, before, after, bool(node.attributes.get("ceil_mode", 0))


def global_pool(node: Node, how: str) -> Value:
    return node.add("reduce", node.value(0), how=how, axes=list(range(2, len(node.shape()))), keep=True)


def layer_norm(node: Node) -> Value:
    if node.outputs > 1:
        raise Unsupported("gives its mean and variance too")
    shape, affine = node.shape()[node.axis(-1) :], [one for one in node.inputs[1:] if one is not None]
    return node.add("layer_norm", node.value(0), *affine, shape=list(shape), eps=float(node.attributes.get("epsilon", 1e-5)))


def instance_norm(node: Node) -> Value:
    return node.add("instance_norm", node.value(0), node.value(1), node.value(2), eps=float(node.attributes.get("epsilon", 1e-5)))


def group_norm(node: Node) -> Value:
    groups, channels = int(node.attributes["num_groups"]), node.shape()[1]
    scale, bias = node.fixed(1), node.fixed(2)
    if len(scale) != channels:  # before version 21: one for each group
        scale, bias = (one.repeat_interleave(channels // groups) for one in (scale, bias))
    eps = float(node.attributes.get("epsilon", 1e-5))
    return node.add("group_norm", node.value(0), scale, bias, groups=groups, eps=eps)


def lrn(node: Node) -> Value:
    found, defaults = node.attributes, {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    how: dict[str, Any] = {name: float(found.get(name, one)) for name, one in defaults.items()}
    if int(found["size"]) % 2 == 0:
        raise Unsupported("normalises over an even number of channels, of which torch takes others than onnx")
    return node.add("lrn", node.value(0), size=int(found["size"]), **how)


def unit(node: Node) -> Value:
    return node.add("unit", node.value(0), axis=node.axis(-1), order=int(node.attributes.get("p", 2)))


def resize(node: Node) -> Value:
    """Where torch has the same rule for the places of the new pixels."""
    found, shape, place = node.attributes, node.shape(), 1 if node.operation == "Upsample" else 2
    scales = found.get("scales") or [] if "scales" in found or node.optional(place) is None else node.fixed(place).tolist()
    sizes = node.whole("sizes", 3) or [math.floor(size * scale) for size, scale in zip(shape, scales, strict=False)]
    mode = str(found.get("mode", "nearest"))
    rule = str(found.get("coordinate_transformation_mode", "asymmetric" if node.operation == "Upsample" else "half_pixel"))
    rounding = str(found.get("nearest_mode", "floor" if node.operation == "Upsample" else "round_prefer_floor"))
    if len(shape) != FLAT + 2 or len(sizes) != FLAT + 2 or sizes[:2] != list(shape[:2]) or "axes" in found:
        raise Unsupported("changes something else than height and width")
    known = {
        ("nearest", "asymmetric", "floor"): ("nearest", None),
        ("nearest", "half_pixel", "round_prefer_floor"): ("nearest-exact", None),
        ("linear", "half_pixel", ""): ("bilinear", False),
        ("linear", "pytorch_half_pixel", ""): ("bilinear", False),
        ("linear", "align_corners", ""): ("bilinear", True),
        ("cubic", "half_pixel", ""): ("bicubic", False),
        ("cubic", "pytorch_half_pixel", ""): ("bicubic", False),
        ("cubic", "align_corners", ""): ("bicubic", True),
    }
    way = known.get((mode, rule, rounding if mode == "nearest" else ""))
    if way is None:
        raise Unsupported(f"resizes by {mode}, {rule}, {rounding}, which torch does not have")
    antialias = bool(found.get("antialias", 0)) and mode != "nearest"
    return node.add("resize", node.value(0), size=sizes[2:], mode=way[0], corners=way[1], antialias=antialias)


LAYER_NODES = {
    "Conv": conv, "ConvTranspose": conv_transpose, "Gemm": gemm, "MatMul": matmul, "BatchNormalization": batch_norm,
    "MaxPool": max_pool, "AveragePool": average_pool, "GlobalAveragePool": lambda node: global_pool(node, "mean"),
    "GlobalMaxPool": lambda node: global_pool(node, "max"), "LayerNormalization": layer_norm,
    "InstanceNormalization": instance_norm, "GroupNormalization": group_norm, "LRN": lrn, "LpNormalization": unit,
    "Resize": resize, "Upsample": resize,
}  # fmt: skip
