"""Every operation of ONNX that is read computes what onnx's own reference evaluator computes."""

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator

from advcli.errors import InputError
from advcli.networks import graph_network, onnx_file
from advcli.networks.onnx_arithmetic import NODES
from onnx_graphs import graph, node, of_outputs, saved

DRAW = np.random.default_rng(1)
KERNEL, MATRIX = DRAW.normal(size=(2, 1, 3, 3)).astype("f4"), DRAW.normal(size=(4, 4)).astype("f4")
ONE = {"scale": np.float32([1.5]), "shift": np.float32([0.2]), "mean": np.float32([0.4]), "var": np.float32([0.3])}
CHANNELS = node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1])  # two of them
FOUR = node("Concat", ["x", "x", "x", "x"], ["c"], axis=1)


def whole(*values):
    return np.array(values, dtype=np.int64)


UNARY = ["Abs", "Neg", "Exp", "Sqrt", "Reciprocal", "Sigmoid", "Tanh", "Erf", "Floor", "Ceil", "Round", "Sign", "Softplus", "Softsign",
         "Mish", "HardSwish", "Sin", "Cos", "Relu", "LeakyRelu", "Elu", "Celu", "Selu", "HardSigmoid", "Gelu", "Identity", "Log",
         "Dropout", "Softmax", "LogSoftmax"]  # fmt: skip
REDUCE = [
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSumExp",
    "ReduceSumSquare",
]
BINARY = ["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean"]
CASES = {
    **{name: of_outputs([node(name, ["x"], ["v"])]) for name in UNARY},
    **{name: of_outputs([CHANNELS, node(name, ["c"], ["v"])], k=KERNEL) for name in ("GlobalAveragePool", "GlobalMaxPool")},
    **{name: of_outputs([node(name, ["x", "a"], ["v"], keepdims=0)], a=whole(1, -1)) for name in REDUCE},
    **{name: of_outputs([node(name, ["x", "m"], ["v"])], m=np.abs(MATRIX)) for name in BINARY},
    "Mod": of_outputs([node("Mod", ["x", "m"], ["v"], fmod=1)], m=np.abs(MATRIX)),
    "Not": of_outputs([node("Less", ["x", "h"], ["b"]), node("Not", ["b"], ["o"]), node("Cast", ["o"], ["v"], to=1)], h=np.float32(0.5)),
    "And": of_outputs([node("Less", ["x", "h"], ["b"]), node("Greater", ["x", "l"], ["d"]), node("And", ["b", "d"], ["o"]),
                       node("Where", ["o", "x", "h"], ["v"])], h=np.float32(0.5), l=np.float32(0.2)),
    "Or": of_outputs([node("LessOrEqual", ["x", "h"], ["b"]), node("GreaterOrEqual", ["x", "l"], ["d"]), node("Equal", ["x", "l"], ["e"]),
                      node("Or", ["b", "d"], ["o"]), node("Or", ["o", "e"], ["p"]), node("Where", ["p", "x", "h"], ["v"])],
                     h=np.float32(0.2), l=np.float32(0.8)),
    "PRelu": of_outputs([node("Sub", ["x", "h"], ["s"]), node("PRelu", ["s", "m"], ["v"])], h=np.float32(0.5), m=MATRIX),
    "Clip": of_outputs([node("Clip", ["x", "l", "h"], ["v"])], l=np.float32(0.2), h=np.float32(0.6)),
    "Conv": of_outputs([node("Conv", ["x", "k", "b"], ["v"], strides=[2, 1], dilations=[1, 2], pads=[1, 2, 1, 2])], k=KERNEL, b=np.float32([1, 2])),
    "Conv, more after": of_outputs([node("Conv", ["x", "k"], ["v"], pads=[0, 1, 1, 2])], k=KERNEL),
    "Conv, same": of_outputs([node("Conv", ["x", "k"], ["v"], auto_pad="SAME_UPPER", strides=[2, 2])], k=KERNEL),
    "ConvTranspose": of_outputs([CHANNELS, node("ConvTranspose", ["c", "t"], ["v"], strides=[2, 2], pads=[1, 1, 1, 1])],
                                k=KERNEL, t=KERNEL.reshape(2, 1, 3, 3)),
    "Gemm": of_outputs([node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "u", "b"], ["v"], alpha=0.5, beta=2.0, transB=1)],
                       u=np.stack([MATRIX.ravel(), -MATRIX.ravel()]), b=np.float32([3, 1])),
    "MatMul": of_outputs([node("MatMul", ["x", "m"], ["a"]), node("MatMul", ["a", "x"], ["v"])], m=MATRIX),
    "BatchNormalization": of_outputs([node("BatchNormalization", ["x", *ONE], ["v"], epsilon=1e-3)], **ONE),
    "BatchNormalization, rows": of_outputs([node("Flatten", ["x"], ["f"]), node("BatchNormalization", ["f", *ONE], ["v"])],
                                           **{name: one.repeat(16) for name, one in ONE.items()}),
    "InstanceNormalization": of_outputs([CHANNELS, node("InstanceNormalization", ["c", "s", "b"], ["v"])], k=KERNEL,
                                        s=np.float32([1, 2]), b=np.float32([0, 1])),
    "GroupNormalization": of_outputs([FOUR, node("Mul", ["c", "f"], ["d"]), node("GroupNormalization", ["d", "s", "b"], ["v"], num_groups=2)],
                                     version=21, f=np.float32([1, 2, 3, 4]).reshape(4, 1, 1), s=np.ones(4, "f4"), b=np.zeros(4, "f4")),
    "LayerNormalization": of_outputs([node("LayerNormalization", ["x", "s", "b"], ["v"], axis=-1)], s=MATRIX[0], b=MATRIX[1]),
    "LpNormalization": of_outputs([node("LpNormalization", ["x"], ["v"], axis=-1, p=2)]),
    "MaxPool": of_outputs([node("MaxPool", ["x"], ["v"], kernel_shape=[2, 2], strides=[2, 2])]),
    "MaxPool, more after": of_outputs([node("MaxPool", ["x"], ["v"], kernel_shape=[2, 3], pads=[0, 1, 1, 2])]),
    "AveragePool": of_outputs([node("AveragePool", ["x"], ["v"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])]),
    "AveragePool, counted": of_outputs([node("AveragePool", ["x"], ["v"], kernel_shape=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1)]),
    "Resize": of_outputs([node("Resize", ["x", "", "s"], ["v"], mode="linear")], s=np.float32([1, 1, 2, 2])),
    "Upsample": of_outputs([node("Upsample", ["x", "s"], ["v"], mode="nearest")], version=9, s=np.float32([1, 1, 2, 2])),
    "Reshape": of_outputs([node("Shape", ["x"], ["s"]), node("Gather", ["s", "i"], ["n"]), node("Unsqueeze", ["n", "a"], ["u"]),
                           node("Concat", ["u", "r"], ["t"], axis=0), node("Reshape", ["x", "t"], ["v"])], i=whole(0)[0], a=whole(0), r=whole(2, -1)),
    "Squeeze": of_outputs([node("Squeeze", ["x", "a"], ["q"]), node("Unsqueeze", ["q", "a"], ["v"])], a=whole(1)),
    "Transpose": of_outputs([node("Transpose", ["x"], ["v"], perm=[0, 3, 1, 2])]),
    "Slice": of_outputs([node("Slice", ["x", "s", "e", "a", "t"], ["v"])], s=whole(3, 1), e=whole(-10, 4), a=whole(2, 3), t=whole(-1, 2)),
    "Slice, old": of_outputs([node("Slice", ["x"], ["v"], starts=[1], ends=[9], axes=[3])], version=9),
    "Split": of_outputs([node("Split", ["x"], ["p", "q"], axis=3, num_outputs=2), node("Concat", ["q", "p"], ["v"], axis=1)]),
    "Gather": of_outputs([node("Gather", ["x", "i"], ["v"], axis=2)], i=whole(3, 0, -1)),
    "GatherND": of_outputs([node("Transpose", ["x"], ["t"], perm=[2, 3, 0, 1]), node("GatherND", ["t", "i"], ["g"]),
                            node("Transpose", ["g"], ["v"], perm=[1, 0, 2])], i=np.array([[0, 1], [3, 2]])),
    "Pad": of_outputs([node("Pad", ["x", "p", "c"], ["v"])], p=whole(0, 0, 1, 2, 0, 0, 0, 1), c=np.float32(0.7)),
    "Pad, reflect": of_outputs([node("Pad", ["x", "p"], ["v"], mode="reflect")], p=whole(0, 0, 1, 2, 0, 0, 0, 1)),
    "Expand": of_outputs([node("Expand", ["x", "s"], ["v"])], s=whole(1, 2, 4, 4)),
    "Tile": of_outputs([node("Tile", ["x", "s"], ["v"])], s=whole(1, 2, 1, 3)),
    "Cast": of_outputs([node("Mul", ["x", "h"], ["a"]), node("Cast", ["a"], ["b"], to=6), node("Cast", ["b"], ["v"], to=1)], h=np.float32(9)),
    "Size": of_outputs([node("Size", ["m"], ["s"]), node("Cast", ["s"], ["t"], to=1), node("Mul", ["x", "t"], ["v"])], m=MATRIX),
    "Constant": of_outputs([node("Constant", [], ["s"], value_floats=[1.0, 2.0, 3.0, 4.0]), node("Mul", ["x", "s"], ["v"])]),
    "ConstantOfShape": of_outputs([node("Shape", ["x"], ["s"]), node("ConstantOfShape", ["s"], ["o"]), node("Concat", ["x", "o"], ["v"], axis=2)]),
    "Range": of_outputs([node("Range", ["l", "h", "d"], ["r"]), node("Mul", ["x", "r"], ["v"])], l=np.float32(0), h=np.float32(4), d=np.float32(1)),
    "ScatterND": of_outputs([node("ScatterND", ["m", "i", "u"], ["s"]), node("Mul", ["x", "s"], ["v"])], m=MATRIX, i=np.array([[1], [3]]),
                            u=MATRIX[:2] * 2),
    "DepthToSpace": of_outputs([FOUR, node("Mul", ["c", "f"], ["d"]), node("DepthToSpace", ["d"], ["v"], blocksize=2)],
                               f=np.float32([1, 2, 3, 4]).reshape(4, 1, 1)),
    "SpaceToDepth": of_outputs([node("SpaceToDepth", ["x"], ["v"], blocksize=2)]),
    "Einsum": of_outputs([node("Einsum", ["x", "m"], ["v"], equation="nchw,wk->nkch")], m=MATRIX),
    "ReduceMean, old": of_outputs([node("ReduceMean", ["x"], ["v"], axes=[3], keepdims=1)], version=13),
    "Squeeze, old": of_outputs([node("Squeeze", ["x"], ["v"], axes=[1])], version=11),
    "Clip, old": of_outputs([node("Clip", ["x"], ["v"], min=0.3)], version=6),
    "one of two": graph([node("Flatten", ["x"], ["f"]), node("Softmax", ["f"], ["s"]), node("MatMul", ["s", "w"], ["y"])]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_operation_computes_what_onnx_computes(name):
    model = CASES[name]
    found = onnx_file.understood("net.onnx", model.SerializeToString(), None)[0]
    assert not found.graph["alone"]
    network = graph_network.of_metadata({"graph": found.graph})
    network.to_empty(device="cpu").load_state_dict(found.tensors)
    x = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.98 + 0.01
    with torch.no_grad():
        answers = network(x)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x.numpy()})
    if found.last:  # left out at the end
        answers = {"softmax": torch.softmax, "sigmoid": lambda one, _: one.sigmoid()}[found.last](answers, 1)
    torch.testing.assert_close(answers, torch.from_numpy(wanted).float().reshape(answers.shape), rtol=1e-4, atol=1e-5)


def test_every_operation_that_is_read_is_tested():
    tested = {one.op_type for model in CASES.values() for one in model.graph.node}
    assert set(NODES) - tested == {"Swish", "LRN"}  # of a version that onnx's evaluator may lack; and below


def test_a_softmax_of_older_versions_is_over_all_axes_that_follow():
    """By the words of ONNX before its version 13; its evaluator knows the newer rule alone."""
    model = of_outputs([node("Softmax", ["x"], ["v"], axis=2)], version=11)
    found = onnx_file.understood("net.onnx", model.SerializeToString(), None)[0]
    x = torch.rand(3, 1, 4, 4)
    answers = graph_network.of_metadata({"graph": found.graph})(x)
    torch.testing.assert_close(answers.reshape(3, 16), torch.softmax(x.reshape(3, 16), 1))


def test_a_response_is_normalised_over_its_neighbours():
    """x / (bias + alpha / size * sum of squares)^beta, by the words of ONNX: its evaluator takes images for channels."""
    model = of_outputs([FOUR, node("LRN", ["c"], ["v"], size=3, alpha=0.3, beta=0.5, bias=2.0)])
    found = onnx_file.understood("net.onnx", model.SerializeToString(), None)[0]
    x = torch.rand(3, 1, 4, 4)
    answers = graph_network.of_metadata({"graph": found.graph})(x).reshape(3, 4, 4, 4)
    torch.testing.assert_close(answers[:, 1:2], x / (2 + 0.3 * x**2) ** 0.5)
    torch.testing.assert_close(answers[:, 3:], x / (2 + 0.2 * x**2) ** 0.5)


def test_an_even_number_of_neighbours_is_refused():
    model = of_outputs([FOUR, node("LRN", ["c"], ["v"], size=2)])
    with pytest.raises(InputError, match="over an even number of channels"):
        onnx_file.understood("net.onnx", model.SerializeToString(), None)


def test_pads_of_minus_infinity_are_stored_as_the_lowest_number(folder, run):
    pads = {"around": np.array([0, 0, 0, 0, 0, 0, 1, 1]), "low": np.float32(-np.inf)}
    pooled = node("MaxPool", ["p"], ["v"], kernel_shape=[2, 2], strides=[1, 1])
    saved(of_outputs([node("Pad", ["x", "around", "low"], ["p"]), pooled], **pads))
    ran = run("import", "net.onnx")
    assert ran.code == 0, ran.err
    assert "answers as onnx's own evaluator does" in ran.err
