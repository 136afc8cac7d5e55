"""ONNX nodes that move values or make sizes: reshaping, cutting, joining, and the arithmetic of shapes."""

import torch
from torch import Tensor

from advcli.networks.graph_operations import TYPES
from advcli.networks.onnx_layers import LOWEST
from advcli.networks.onnx_node import Node
from advcli.networks.onnx_values import Ref, Unsupported, Value

ELEMENTS = {1: "float32", 10: "float32", 11: "float32", 16: "float32", 9: "bool"} | dict.fromkeys(
    (2, 3, 4, 5, 6, 7, 12, 13), "int64"
)


def reshape(node: Node) -> Value:
    shape, target = node.shape(), node.whole("shape", 1) or []
    if not node.attributes.get("allowzero"):
        target = [shape[k] if one == 0 and k < len(shape) else one for k, one in enumerate(target)]
    return _reshaped(node, target)


def _reshaped(node: Node, target: list[int]) -> Value:
    """In the sizes that result; those of a graph for one image get as many as there are."""
    x, trace = node.value(0), node.trace
    if (
        isinstance(x, Ref)
        and trace.fixed not in (None, trace.count)
        and target[:1] == [trace.fixed]
        and x.shape[0] == trace.count
    ):
        target = [trace.count, *target[1:]]
    sizes = list(torch.empty(tuple(x.shape), device="meta").reshape(target).shape)
    return node.add("reshape", x, shape=sizes)


def flatten(node: Node) -> Value:
    shape, axis = node.shape(), int(node.attributes.get("axis", 1))
    axis = axis + len(shape) if axis < 0 else axis
    first = 1
    for size in shape[:axis]:
        first *= size
    return _reshaped(node, [first, -1])


def squeeze(node: Node) -> Value:
    axes = node.axes()
    return node.add("squeeze", node.value(0), axes=[k for k, n in enumerate(node.shape()) if n == 1] if axes is None else axes)


def unsqueeze(node: Node) -> Value:
    axes = node.whole("axes", 1) or []
    count = len(node.shape()) + len(axes)
    return node.add("unsqueeze", node.value(0), axes=sorted(node.from_front(one, count) for one in axes))


def transpose(node: Node) -> Value:
    perm = node.whole("perm") or list(reversed(range(len(node.shape()))))
    return node.add("transpose", node.value(0), perm=perm)


def concat(node: Node) -> Value:
    parts = [node.value(place) for place in range(len(node.inputs))]
    return node.add("concat", *parts, axis=node.axis(0))


def cut(node: Node) -> Value:
    """Along one axis after the other; an axis that stays whole is left out."""
    x, shape = node.value(0), node.shape()
    starts, stops = node.whole("starts", 1) or [], node.whole("ends", 2) or []
    axes = node.axes(3) or list(range(len(starts)))
    for axis, start, stop, step in zip(axes, starts, stops, node.whole("steps", 4) or [1] * len(axes), strict=True):
        if step == 0:
            raise Unsupported("has a step of 0")
        places = range(shape[axis])[slice(start, stop, step)]
        if places == range(shape[axis]):
            continue
        if step < 0:
            x = node.add("gather", x, torch.tensor(list(places), dtype=torch.int64), axis=axis)
        else:
            x = node.add(
                "cut", x, axis=axis, start=places.start, stop=max(places.start, min(places.stop, shape[axis])), step=step
            )
    return x


def split(node: Node) -> list[Value]:
    axis, sizes = node.axis(0), node.whole("split", 1)
    whole = node.shape()[axis]
    if sizes is None:
        part = -(-whole // node.outputs)
        sizes = [min(part, whole - part * k) for k in range(node.outputs)]
    if sum(sizes) != whole or min(sizes) < 0:
        raise Unsupported(f"splits {whole} into {sizes}")
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    x = node.value(0)
    return [
        node.add("cut", x, axis=axis, start=start, stop=start + size, step=1) for start, size in zip(starts, sizes, strict=True)
    ]


def gather(node: Node) -> Value:
    axis, places = node.axis(0), node.fixed(1)
    count = node.shape()[axis]
    if places.is_floating_point() or bool(((places < -count) | (places >= count)).any()):
        raise Unsupported(f"looks outside of {count} entries")
    if places.ndim == 0:
        return node.add("select", node.value(0), axis=axis, index=int(places) % count)
    return _entries(node, node.value(0), places % count, axis)


def _entries(node: Node, x: Value, places: Tensor, axis: int) -> Value:
    """The entries of an axis at these places; all of them in their order are the same values in another shape."""
    shape = tuple(x.shape)
    if torch.equal(places.reshape(-1), torch.arange(shape[axis])):
        return node.add("reshape", x, shape=[*shape[:axis], *places.shape, *shape[axis + 1 :]])
    return node.add("gather", x, places, axis=axis)


def gather_nd(node: Node) -> Value:
    """Entries at places along the first axes."""
    places, shape = node.fixed(1), node.shape()
    if node.attributes.get("batch_dims") or places.ndim < 1 or not 1 <= places.shape[-1] <= len(shape):
        raise Unsupported("looks up entries in a way that is not read")
    index = places[..., 0]
    for axis in range(1, places.shape[-1]):
        index = index * shape[axis] + places[..., axis]
    depth = places.shape[-1]
    sizes = torch.tensor(shape[:depth])
    if bool(((places < 0) | (places >= sizes)).any()):
        raise Unsupported("looks outside of its entries")
    flat = node.add("reshape", node.value(0), shape=[int(sizes.prod()), *shape[depth:]])
    return _entries(node, flat, index, 0)


def pad(node: Node) -> Value:
    rank, mode = len(node.shape()), str(node.attributes.get("mode", "constant"))
    pads, axes = node.whole("pads", 1) or node.whole("paddings") or [], node.axes(3) or list(range(rank))
    if len(pads) != 2 * len(axes) or mode not in ("constant", "reflect", "edge"):
        raise Unsupported(f"pads by {mode} in a way that is not read")
    each = dict.fromkeys(range(rank), (0, 0)) | {axis: (pads[k], pads[k + len(axes)]) for k, axis in enumerate(axes)}
    order = [size for axis in reversed(range(rank)) for size in each[axis]]
    while order and order[-2:] == [0, 0]:
        order = order[:-2]
    if not order:
        return node.value(0)
    if mode != "constant":
        return node.add("pad", node.value(0), pads=order, mode={"edge": "replicate"}.get(mode, mode))
    return node.add("pad", node.value(0), pads=order, value=min(max(node.number("value", 2, 0.0) or 0.0, LOWEST), -LOWEST))


def expand(node: Node) -> Value:
    shapes = (torch.empty(one, device="meta") for one in (node.shape(), tuple(node.whole("shape", 1) or [])))
    shape = list(torch.add(*shapes).shape)
    return node.value(0) if shape == list(node.shape()) else node.add("expand", node.value(0), shape=shape)


def tile(node: Node) -> Value:
    repeats = node.whole("repeats", 1) or []
    return node.value(0) if set(repeats) == {1} else node.add("tile", node.value(0), repeats=repeats)


def cast(node: Node) -> Value:
    to = int(node.attributes["to"])
    if to not in ELEMENTS:
        raise Unsupported(f"casts to type {to} of ONNX")
    x, kind = node.value(0), ELEMENTS[to]
    have = x.like.dtype if isinstance(x, Ref) else x.dtype
    return x if have == TYPES[kind] else node.add("cast", x, to=kind)


def shape_of(node: Node) -> Value:
    start, stop = int(node.attributes.get("start", 0)), node.attributes.get("end")
    return torch.tensor(node.shape()[slice(start, stop)], dtype=torch.int64)


def size_of(node: Node) -> Value:
    return torch.tensor(torch.empty(node.shape(), device="meta").numel())


def constant(node: Node) -> Value:
    for name, kind in (
        ("value_float", torch.float32),
        ("value_floats", torch.float32),
        ("value_int", torch.int64),
        ("value_ints", torch.int64),
    ):
        if name in node.attributes:
            return torch.tensor(node.attributes[name], dtype=kind)
    found = node.attributes.get("value")
    if not isinstance(found, Tensor):
        raise Unsupported("holds neither numbers nor a tensor")
    return found


def filled(node: Node) -> Value:
    """A constant of this shape."""
    value = node.attributes.get("value", torch.zeros(1))
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise Unsupported("has no single value")
    return node.add("expand", value.reshape(()), shape=[int(one) for one in node.fixed(0).tolist()])


def count_up(node: Node) -> Value:
    start, limit, step = (node.fixed(place).reshape(-1)[0].item() for place in range(3))
    if not step or abs((limit - start) / step) > 1 << 20:
        raise Unsupported("counts too far")
    return torch.arange(start, limit, step, dtype=node.fixed(0).dtype)


SHAPE_NODES = {
    "Reshape": reshape, "Flatten": flatten, "Squeeze": squeeze, "Unsqueeze": unsqueeze, "Transpose": transpose,
    "Concat": concat, "Slice": cut, "Split": split, "Gather": gather, "GatherND": gather_nd, "Pad": pad, "Expand": expand,
    "Tile": tile, "Cast": cast, "Shape": shape_of, "Size": size_of, "Constant": constant, "ConstantOfShape": filled,
    "Range": count_up,
}  # fmt: skip
