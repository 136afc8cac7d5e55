"""Turns an ONNX graph into a stored graph: layers with weights, operations with plain attributes, and a few constants.

The graph is followed for two numbers of images; what differs between both depends on the number of images, linearly. A graph
that was exported for a fixed number of images is followed for other numbers too: where it states its own number in front of a
shape, theirs is put. If that fails, and its number is one, it is kept as it is and computes every image by itself.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from advcli.errors import InputError, described
from advcli.files.graph_schema import MOST_STEPS
from advcli.files.header import Header
from advcli.networks.graph_network import Step
from advcli.networks.onnx_arithmetic import NODES
from advcli.networks.onnx_node import Attributes, Node
from advcli.networks.onnx_values import Ref, Trace, Unsupported, Value, needed

COUNTS = (11, 13)  # of images; no usual size
CHANNELS = (1, 3, 4)
ROWS, CHANNELS_LAST = "rows of numbers", "channels last"  # layouts of images, where they are not as here
PROBABILITIES = ("softmax", "sigmoid")  # a last step that changes no decision
UNREAD = "is none that advcli reads: export the network without it, or import a function that asks it (module:function)"
TOLD = {
    "ArgMax": "gives a label, and an attack needs scores: export the network without it",
    "TopK": "gives labels, and an attack needs scores: export the network without it",
    **dict.fromkeys(
        ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger"),
        "belongs to a quantized network, whose gradient is zero: import the network that it was made from",
    ),
    **dict.fromkeys(("If", "Loop", "Scan"), "branches while it runs: export the network without branches"),
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """What was read of an ONNX file: its nodes, its constants, and its one input and output."""

    nodes: list[tuple[str, str, list[str], list[str], dict[str, Any]]]  # operation, name, inputs, outputs, attributes
    constants: Mapping[str, Tensor]
    input: str
    output: str
    dimensions: list[int | None]  # of the input; None where any number may stand
    version: int


@dataclass(frozen=True)
class Converted:
    """A graph as it is stored, its weights, and the input and number of outputs that it has."""

    graph: Header
    tensors: dict[str, Tensor]
    shape: tuple[int, int, int]
    classes: int
    last: str  # the operation that was left out at its end, as it changes no decision; empty if none was
    layout: str  # of the images that the file takes: rows of numbers, channels last, or as here (empty)


def convert(source: Source, given: tuple[int, int, int] | None) -> Converted:
    """The stored form of a graph; InputError says what cannot be read."""
    shape, layout = _input(source, given)
    fixed = source.dimensions[0]
    try:
        first, second = (_followed(source, shape, layout, count) for count in COUNTS)
        steps = [_merged(one, other) for one, other in zip(first.steps, second.steps, strict=True)]
        if not _same(first.constants, second.constants) or first.classes != second.classes:
            raise Unsupported("computes something else for other numbers of images")
        return _stored(first, steps, shape, layout)
    except (Unsupported, ValueError, RuntimeError) as error:
        if fixed is None:
            raise InputError(str(error)) from None
        if fixed != 1:
            raise InputError(
                f"is exported for {fixed} images at a time, and cannot be read for others ({error});\n"
                "export it for any number: dynamic_shapes=({0: torch.export.Dim('n')},), or dynamic_axes={'NAME': {0: 'n'}}"
            ) from None
    try:
        found = _followed(source, shape, layout, 1)
    except Unsupported as error:
        raise InputError(str(error)) from None
    return _stored(found, found.steps, shape, layout, alone=True)


@dataclass(frozen=True)
class Followed:
    """The steps of a graph for one number of images."""

    steps: list[Step]
    constants: dict[str, Tensor]
    weights: dict[str, Tensor]
    classes: int
    last: str


def _input(source: Source, given: tuple[int, int, int] | None) -> tuple[tuple[int, int, int], str]:
    """The shape of the images, and the layout in which the graph takes them."""
    sizes, layout = source.dimensions[1:], ""
    if len(sizes) != 3:
        if given is None or _product(sizes) != math.prod(given):
            said = _dimensions(source.dimensions)
            raise InputError(f"takes {said}, no pictures; say by --input or --data which channels, height and width these are")
        return given, ROWS
    turned = [sizes[2], *sizes[:2]]
    if (_fits(turned, given) and not _fits(sizes, given)) if given else _channels_last(sizes):
        sizes, layout = turned, CHANNELS_LAST
    if given is None and None in sizes:
        raise InputError("takes images of any size; give --input (channels, height and width, such as 3x32x32) or --data")
    shape = given or tuple(int(one or 0) for one in sizes)
    if not _fits(sizes, shape):
        have = _dimensions(shape)
        raise InputError(f"takes images of {_dimensions(sizes)}, not {have}; give images of that size, or export it for these")
    return shape, layout  # type: ignore[return-value]  # three numbers


def _channels_last(sizes: Sequence[int | None]) -> bool:
    """True if the last size is that of colours, and the first is not."""
    first, _, last = sizes
    return last in CHANNELS and (first is None or first > max(CHANNELS))


def _fits(sizes: Sequence[int | None], shape: tuple[int, ...]) -> bool:
    """True if images have the sizes that a graph states."""
    return all(one is None or one == have for one, have in zip(sizes, shape, strict=True))


def _dimensions(sizes: Sequence[int | None]) -> str:
    return "x".join("?" if one is None else str(one) for one in sizes)


def _entered(trace: Trace, shape: tuple[int, int, int], layout: str, sizes: Sequence[int | None]) -> Value:
    """The images as the graph takes them."""
    x = Ref(0, torch.empty(trace.count, *shape, device="meta"))
    if layout == ROWS:
        return trace.add("reshape", x, shape=[trace.count, *(int(one or 0) for one in sizes[1:])])
    return trace.add("transpose", x, perm=[0, 2, 3, 1]) if layout else x


def _product(sizes: Sequence[int | None]) -> int | None:
    return None if None in sizes else math.prod(one for one in sizes if one is not None)


def _followed(source: Source, shape: tuple[int, int, int], layout: str, count: int) -> Followed:
    """All steps for this number of images, and those alone that the output needs."""
    trace = Trace(count, source.dimensions[0])
    values: dict[str, Value] = {**source.constants}
    values[source.input] = _entered(trace, shape, layout, source.dimensions)
    for operation, name, inputs, outputs, attributes in source.nodes:
        missing = [one for one in inputs if one and one not in values]
        if missing:
            raise Unsupported(
                f"its node {operation} takes {missing[0][:60]!r}, which nothing before it makes; the file is damaged"
            )
        given = [values[one] if one else None for one in inputs]
        while given and given[-1] is None:
            given.pop()
        node = Node(operation, given, Attributes(attributes), len([one for one in outputs if one]), source.version, trace)
        found = _run(node, name)
        if len(found) < len(outputs) and any(outputs[len(found) :]):
            raise Unsupported(f"its node {operation}{_called(name)} has {len(outputs)} outputs, of which {len(found)} are read")
        values.update(zip(outputs, found, strict=False))
        if len(trace.steps) > MOST_STEPS:
            raise Unsupported(f"has more than {MOST_STEPS} steps")
    return _ended(trace, values.get(source.output))


def _run(node: Node, name: str) -> list[Value]:
    """The outputs of a node."""
    if node.operation not in NODES:
        why = TOLD.get(node.operation, UNREAD)
        raise Unsupported(f"its operation {node.operation[:60]}{_called(name)} {why}")
    try:
        with torch.no_grad():
            found = NODES[node.operation](node)
    except Unsupported as error:
        raise Unsupported(f"its {node.operation}{_called(name)} {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged graph may fail in any way
        raise Unsupported(f"its {node.operation}{_called(name)} cannot be computed ({described(error, 80)})") from None
    if unread := node.attributes.unread():
        raise Unsupported(f"its {node.operation}{_called(name)} has the attribute {unread[0][:60]!r}, which is not read")
    return found if isinstance(found, list) else [found]


def _called(name: str) -> str:
    return f" ({name[:60]})" if name.isprintable() and name else ""


def _ended(trace: Trace, found: Value | None) -> Followed:
    """The steps that the logits need. A last softmax or sigmoid is left out: the largest output stays the largest."""
    if found is None or isinstance(found, Tensor):
        raise Unsupported("its output does not depend on the image")
    number, last, sizes = found.number, "", [one for one in found.shape[1:] if one != 1]
    if found.shape[:1] == (trace.count,) and not sizes:
        raise Unsupported("returns one number for each image; a classifier returns a score for each of two or more classes")
    if found.shape[:1] != (trace.count,) or len(sizes) != 1:
        have = "x".join(map(str, found.shape)) or "one number"
        raise Unsupported(f"returns {have} for {trace.count} images; expected a row for each image, with a score for each class")
    operation, inputs, attributes = trace.steps[number - 1]
    over_classes = operation != "softmax" or (attributes["axis"] == found.shape.index(sizes[0], 1) and not attributes["log"])
    if operation in PROBABILITIES and over_classes and isinstance(inputs[0], int) and inputs[0]:
        number, last = inputs[0], operation
    if not number:
        raise Unsupported("computes nothing")
    steps, numbers = needed(trace.steps, number)
    names = {one for _, inputs, _ in steps for one in inputs if isinstance(one, str)}
    weights = {}
    for name, tensor in trace.weights.items():
        _, old, what = name.split(".")
        if int(old) in numbers:
            weights[f"layers.{numbers[int(old)]}.{what}"] = tensor
    return Followed(steps, {name: trace.constants[name] for name in trace.constants if name in names}, weights, sizes[0], last)


def _merged(one: Any, other: Any) -> Any:
    """What is the same for both numbers of images; a number that differs is linear in them."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [_merged(*each) for each in zip(one, other, strict=True)]
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return {name: _merged(one[name], other[name]) for name in one}
    if type(one) is type(other) and one == other:
        return one
    if type(one) is type(other) is int:
        slope, left = divmod(other - one, COUNTS[1] - COUNTS[0])
        if not left:
            return {"n": slope, "plus": one - slope * COUNTS[0]}
    raise Unsupported("computes something else for other numbers of images")


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _stored(found: Followed, steps: list[Any], shape: tuple[int, int, int], layout: str, *, alone: bool = False) -> Converted:
    """As JSON and tensors, whose numbers have to be finite."""
    constants, tensors = {}, dict(found.weights)
    for name, tensor in found.constants.items():
        constants[name] = [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
        tensors[name] = tensor
    for number in [name.split(".")[1] for name in found.weights if name.endswith(".running_mean")]:
        tensors[f"layers.{number}.num_batches_tracked"] = torch.tensor(0)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"holds numbers that are not finite ({name}); the model is broken")
    graph = {"steps": [list(one) for one in steps], "constants": constants, "alone": alone}
    return Converted(graph, tensors, shape, found.classes, found.last, layout)
