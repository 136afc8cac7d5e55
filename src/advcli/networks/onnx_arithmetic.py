"""ONNX nodes that compute value by value, reduce or compare; and the table of all that are read."""

from collections.abc import Callable
from functools import partial

import torch

from advcli.networks.onnx_layers import LAYER_NODES
from advcli.networks.onnx_node import Node
from advcli.networks.onnx_shapes import SHAPE_NODES
from advcli.networks.onnx_values import Ref, Unsupported, Value

SOFTMAX = 13  # the version of ONNX from which on a softmax is over one axis


def plain(operation: str, node: Node) -> Value:
    return node.add(operation, *(node.value(place) for place in range(len(node.inputs))))


def repeated(operation: str, node: Node) -> Value:
    """An operation of two values, for any number of them."""
    found = node.value(0)
    for place in range(1, len(node.inputs)):
        found = node.add(operation, found, node.value(place))
    return found


def with_numbers(operation: str, defaults: dict[str, float], node: Node) -> Value:
    return node.add(operation, node.value(0), **{name: float(node.attributes.get(name, one)) for name, one in defaults.items()})


def reduction(how: str, node: Node) -> Value:
    axes, keep = node.axes(), bool(node.attributes.get("keepdims", 1))
    if not axes:
        if node.attributes.get("noop_with_empty_axes"):
            return node.value(0)
        axes = list(range(len(node.shape())))
    return node.add("reduce", node.value(0), how=how, axes=axes, keep=keep)


def squared(node: Node) -> Value:
    return reduction("sum", Node(node.operation, [node.add("mul", node.value(0), node.value(0)), *node.inputs[1:]],
                                 node.attributes, node.outputs, node.version, node.trace))  # fmt: skip


def softmax(log: bool, node: Node) -> Value:
    if node.version >= SOFTMAX:
        return node.add("softmax", node.value(0), axis=node.axis(-1), log=log)
    axis = node.axis(1)
    last = axis == len(node.shape()) - 1
    return node.add("softmax" if last else "softmax_of_rest", node.value(0), axis=axis, log=log)


def clip(node: Node) -> Value:
    low, high = node.number("min", 1, None), node.number("max", 2, None)
    low, high = (None if one is None or abs(one) > 3e38 else one for one in (low, high))
    if low == 0 and high is None and isinstance(x := node.value(0), Ref):
        return node.trace.layer("relu", x, {})
    return node.value(0) if low is None and high is None else node.add("clamp", node.value(0), low=low, high=high)


def relu(node: Node) -> Value:
    x = node.value(0)
    return node.trace.layer("relu", x, {}) if isinstance(x, Ref) else torch.relu(x)


def leaky_relu(node: Node) -> Value:
    return node.add("leaky_relu", node.value(0), slope=float(node.attributes.get("alpha", 0.01)))


def gelu(node: Node) -> Value:
    return node.add("gelu", node.value(0), approximate=str(node.attributes.get("approximate", "none")))


def mod(node: Node) -> Value:
    return node.add("mod", node.value(0), node.value(1), fmod=bool(node.attributes.get("fmod", 0)))


def mean_of(node: Node) -> Value:
    return node.add("div", repeated("add", node), torch.tensor(float(len(node.inputs))))


def same(node: Node) -> Value:
    return node.value(0)


def dropout(node: Node) -> Value:
    if node.optional(2) is not None and bool(node.fixed(2)):
        raise Unsupported("drops values at random: export the network in evaluation mode, after net.eval()")
    return node.value(0)


def depth_to_space(node: Node) -> Value:
    columns = str(node.attributes.get("mode", "DCR")) == "CRD"
    return node.add("depth_to_space", node.value(0), block=int(node.attributes["blocksize"]), columns_first=columns)


def space_to_depth(node: Node) -> Value:
    return node.add("space_to_depth", node.value(0), block=int(node.attributes["blocksize"]))


def einsum(node: Node) -> Value:
    return node.add("einsum", *(node.value(k) for k in range(len(node.inputs))), equation=str(node.attributes["equation"]))


PLAIN_NODES = {
    "Abs": "abs", "Neg": "neg", "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Reciprocal": "reciprocal", "Sigmoid": "sigmoid",
    "Tanh": "tanh", "Erf": "erf", "Floor": "floor", "Ceil": "ceil", "Round": "round", "Sign": "sign", "Softplus": "softplus",
    "Softsign": "softsign", "Mish": "mish", "HardSwish": "hard_swish", "Sin": "sin", "Cos": "cos", "Not": "not", "Add": "add",
    "Sub": "sub", "Mul": "mul", "Div": "div", "Pow": "pow", "Equal": "equal", "Greater": "greater", "Less": "less",
    "GreaterOrEqual": "greater_equal", "LessOrEqual": "less_equal", "And": "and", "Or": "or", "Where": "where", "PRelu": "prelu",
    "ScatterND": "scatter_nd",
}  # fmt: skip
REDUCED = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min", "ReduceProd": "prod",
           "ReduceL1": "l1", "ReduceL2": "l2", "ReduceLogSumExp": "logsumexp"}  # fmt: skip
NODES: dict[str, Callable[[Node], Value | list[Value]]] = {
    **{name: partial(plain, operation) for name, operation in PLAIN_NODES.items()},
    **{name: partial(reduction, how) for name, how in REDUCED.items()},
    "ReduceSumSquare": squared, "Max": partial(repeated, "maximum"), "Min": partial(repeated, "minimum"),
    "Sum": partial(repeated, "add"), "Mean": mean_of, "Softmax": partial(softmax, False), "LogSoftmax": partial(softmax, True),
    "Clip": clip, "Relu": relu, "LeakyRelu": leaky_relu, "Elu": partial(with_numbers, "elu", {"alpha": 1.0}),
    "Celu": partial(with_numbers, "celu", {"alpha": 1.0}),
    "Selu": partial(with_numbers, "selu", {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}),
    "HardSigmoid": partial(with_numbers, "hard_sigmoid", {"alpha": 0.2, "beta": 0.5}),
    "Swish": partial(with_numbers, "swish", {"alpha": 1.0}), "Gelu": gelu, "Mod": mod, "Identity": same, "Dropout": dropout,
    "DepthToSpace": depth_to_space, "SpaceToDepth": space_to_depth, "Einsum": einsum, **LAYER_NODES, **SHAPE_NODES,
}  # fmt: skip
