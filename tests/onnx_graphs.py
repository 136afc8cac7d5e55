"""ONNX graphs for tests, node by node; each takes images 1x4x4 called x and returns y."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SHAPE = (1, 4, 4)
CLASSES = 3
node = helper.make_node


def constants(**found):
    return [numpy_helper.from_array(np.asarray(one), name) for name, one in found.items()]


def weights(rows=16, classes=CLASSES):
    return np.random.default_rng(0).normal(size=(rows, classes)).astype(np.float32)


LINEAR = [node("Flatten", ["x"], ["rows"]), node("MatMul", ["rows", "w"], ["y"])]


def graph(nodes=LINEAR, *, dims=("n", *SHAPE), inputs=("x",), outputs=("y",), element=TensorProto.FLOAT, version=20, **more):
    """A model; `w` is a matrix from images to classes, unless `more` has another."""
    stated = [helper.make_tensor_value_info(name, element, dims) for name in inputs]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    made = helper.make_graph(nodes, "g", stated, results, constants(**{"w": weights(), **more}))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", version)], ir_version=10)


def of_outputs(nodes, **more):
    """A graph whose classes are the values of v, whatever their shape."""
    return graph([*nodes, node("Flatten", ["v"], ["y"])], **more)


def saved(model, path="net.onnx") -> Path:
    Path(path).write_bytes(model.SerializeToString())
    return Path(path)
