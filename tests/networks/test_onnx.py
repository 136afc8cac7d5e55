"""ONNX files: imported as data, attacked like the network that they were exported from, refused with the cause and the fix."""

import importlib.util
import re
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("onnx")

import onnx

from advcli.errors import InputError
from advcli.networks import model_file, onnx_arithmetic
from advcli.networks.onnx_values import Ref
from onnx_graphs import LINEAR, SHAPE, graph, node, saved, weights

INPUT = "1x4x4"


def import_(run, *more, code=0, file="net.onnx"):
    ran = run("import", file, "--force", *more)
    assert ran.code == code, ran.err
    return ran.err


def outputs(x):
    with torch.no_grad():
        return model_file.read("model.safetensors").module()(x)


def expected(x):
    return x.flatten(1) @ torch.from_numpy(weights())


def exported(net, path, count=1, **more):
    """What torch's older exporter writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.rand(count, 1, 8, 8),), path, dynamo=False, **more)


def test_the_attack_through_a_graph_is_the_attack_through_its_network(model, run):
    net = model_file.read(model).module().network
    exported(net, "one.onnx")
    exported(net, "any.onnx", input_names=["x"], dynamic_axes={"x": {0: "n"}})
    success = {}
    for name in ("model", "one", "any"):
        if name != "model":
            said = import_(run, "--data", "digits", "-o", f"{name}.safetensors", file=f"{name}.onnx")
            assert "answers as onnx's own evaluator does on 8 images of digits" in said
            assert "clean accuracy on digits:test:" in said
        ran = run(
            "attack", "--model", f"{name}.safetensors", "--method", "pgd", "--eps", "0.1", "--limit", "200", "-o", f"{name}.h5"
        )
        assert ran.code == 0, ran.err
        with h5py.File(f"{name}.h5") as opened:
            success[name] = opened["success"][:]
    assert 0.2 < np.mean(success["model"]) < 0.8
    assert np.mean(success["one"] == success["model"]) >= 0.99
    assert np.mean(success["any"] == success["model"]) >= 0.99


@pytest.mark.skipif(importlib.util.find_spec("onnxscript") is None, reason="torch's newer exporter needs onnxscript")
@pytest.mark.sweep
@pytest.mark.parametrize("count", ["one", "any"])
def test_torchs_newer_exporter(count, folder, run):
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    net = nn.Sequential(nn.Flatten(1, 2), layer, nn.Flatten(), nn.Linear(32, 3)).eval()
    sizes = ({0: torch.export.Dim("n")},) if count == "any" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.rand(2 if sizes else 1, 2, 4, 4),), "net.onnx", verbose=False, dynamic_shapes=sizes)
    import_(run)
    x = torch.rand(5, 2, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(outputs(x), net(x), rtol=1e-4, atol=1e-5)


def test_what_comes_after_works_too(model, run):
    exported(model_file.read(model).module().network, "net.onnx")
    import_(run, "--data", "digits")
    for line in (
        ["defend", "--method", "squeeze"],
        ["attack", "--model", "defended.safetensors", "--method", "fgsm", "--eps", "0.1", "--limit", "20"],
        ["verify", "adversarial.h5"],
        [
            "evaluate",
            "--model",
            "model.safetensors",
            "--metric",
            "verified",
            "--eps",
            "0.01",
            "--limit",
            "10",
            "--data",
            "digits",
        ],
        ["export", "model.safetensors"],
        [
            "train",
            "--recipe",
            "distill",
            "--teacher",
            "model.safetensors",
            "--arch",
            "softmax",
            "--epochs",
            "1",
            "-o",
            "s.safetensors",
        ],
    ):
        ran = run(*line)
        assert ran.code == 0, (line, ran.err)
    shown = run("show", "model.safetensors").out
    assert "advcli import --data digits:train --input 1x8x8 net.onnx" in shown
    assert '"graph": "' in shown
    ran = run("train", "--weights", "model.safetensors", "--arch", "cnn", "--epochs", "1", "-o", "t.safetensors")
    assert ran.code == 2
    assert "is a network from an ONNX file, whose weights fit no architecture" in ran.err


def test_a_model_file_opens_without_the_extra(folder, run, monkeypatch):
    saved(graph())
    import_(run)
    for name in [one for one in sys.modules if one.partition(".")[0] == "onnx"]:
        monkeypatch.setitem(sys.modules, name, None)
    x = torch.rand(5, *SHAPE)
    torch.testing.assert_close(outputs(x), expected(x))


def test_without_the_extra_one_line_says_what_to_install(folder, run, monkeypatch):
    saved(graph())
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "onnx" else found(name, *more))
    assert import_(run, code=2) == "advcli: an ONNX file is read by the package onnx: pip install 'advcli[onnx]'\n"


@pytest.mark.parametrize("last", ["Softmax", "Sigmoid"])
def test_probabilities_become_logits(last, folder, run):
    saved(graph([LINEAR[0], node("MatMul", ["rows", "w"], ["logits"]), node(last, ["logits"], ["y"])]))
    assert f"ends in a {last.lower()}, which is left out" in import_(run)
    x = torch.rand(5, *SHAPE)
    torch.testing.assert_close(outputs(x), expected(x))


@pytest.mark.parametrize(
    ("dims", "nodes", "said"),
    [(("n", 16), [node("MatMul", ["x", "w"], ["y"])], "takes rows of numbers"),
     (("n", 4, 4, 1), LINEAR, "takes channels last")],
    ids=["rows", "channels last"],
)  # fmt: skip
def test_other_layouts_of_images(dims, nodes, said, folder, run):
    saved(graph(nodes, dims=dims))
    assert said in import_(run, "--input", INPUT)
    x = torch.rand(5, *SHAPE)
    torch.testing.assert_close(outputs(x), expected(x))


def test_half_precision_is_computed_in_single(folder, run):
    saved(graph(element=onnx.TensorProto.FLOAT16, w=weights().astype(np.float16)))
    import_(run)
    x = torch.rand(5, *SHAPE)
    torch.testing.assert_close(outputs(x), x.flatten(1) @ torch.from_numpy(weights().astype(np.float16)).float())


FIXED = {  # graphs for one image, whose number is in constants
    "in a reshape": ([node("Reshape", ["x", "s"], ["rows"]), LINEAR[1]], {"s": np.array([1, 16])}, False),
    "in a joined token": (
        [node("Reshape", ["x", "s"], ["r"]), node("Concat", ["t", "r"], ["j"], axis=1), node("Transpose", ["j"], ["p"], perm=[1, 0, 2]),
         node("Reshape", ["p", "u"], ["q"]), node("MatMul", ["q", "w"], ["y"])],
        {"s": np.array([1, 3, 5]), "t": np.zeros((1, 1, 5), np.float32), "u": np.array([1, 20]), "w": weights(20)}, True),
}  # fmt: skip


@pytest.mark.parametrize("name", FIXED)
def test_a_graph_for_one_image_takes_any_number(name, folder, run):
    nodes, more, alone = FIXED[name]
    dims = (1, *SHAPE) if name == "in a reshape" else (1, 1, 3, 5)
    saved(graph(nodes, dims=dims, **more))
    import_(run)
    module = model_file.read("model.safetensors").module()
    assert module.network.alone is alone
    x = torch.rand(5, *dims[1:], requires_grad=True)
    together = module(x)
    each = torch.cat([module(one[None]) for one in x])
    torch.testing.assert_close(together, each)
    (slope,) = torch.autograd.grad(together[:, 0].sum(), x)
    assert bool(slope.flatten(1).any(1).all())


REFUSED = {
    "an unknown operation": ({"nodes": [LINEAR[0], node("Strange", ["rows"], ["y"], name="odd")]}, r"operation Strange \(odd\) is none that advcli reads.*module:function"),
    "one of a runtime": ({"nodes": [LINEAR[0], node("FusedGelu", ["rows"], ["y"], domain="com.microsoft")]}, "com.microsoft.FusedGelu is none"),
    "a quantized network": ({"nodes": [LINEAR[0], node("QuantizeLinear", ["rows", "w"], ["y"])]}, "belongs to a quantized network"),
    "a label": ({"nodes": [*LINEAR[:1], node("MatMul", ["rows", "w"], ["l"]), node("ArgMax", ["l"], ["y"])]}, "gives a label, and an attack needs scores"),
    "several inputs": ({"inputs": ("x", "z")}, r"has 2 inputs \(x, z\); export"),
    "several outputs": ({"outputs": ("y", "rows")}, r"has 2 outputs \(y, rows\); export"),
    "bytes": ({"element": onnx.TensorProto.UINT8}, "export a network that takes floating-point numbers"),
    "any size": ({"dims": ("n", 1, "h", "w")}, "takes images of any size; give --input"),
    "rows of unknown shape": ({"dims": ("n", 16), "nodes": [node("MatMul", ["x", "w"], ["y"])]}, "say by --input or --data which channels"),
    "one output": ({"w": weights(classes=1)}, "returns one number for each image"),
    "no numbers": ({"w": weights() * np.nan}, "numbers that are not finite"),
    "a map": ({"nodes": [node("Relu", ["x"], ["y"])]}, "expected a row for each image"),
    "another shape": ({"w": weights(15)}, "its MatMul cannot be computed"),
    "dropout in training": ({"nodes": [LINEAR[0], node("Dropout", ["rows", "", "t"], ["d"]), node("MatMul", ["d", "w"], ["y"])], "t": np.array(True)},
                            r"after net\.eval\(\)"),
    "several images": ({"dims": (4, *SHAPE), "nodes": [node("Reshape", ["x", "s"], ["a"]), node("Transpose", ["a"], ["b"]), node("Reshape", ["b", "s"], ["c"]),
                                                       node("MatMul", ["c", "w"], ["y"])], "s": np.array([4, 16])}, "exported for 4 images at a time.*\n.*dynamic_shapes"),
    "a batch that mixes": ({"nodes": [node("ReduceMean", ["x", "z"], ["m"]), node("Sub", ["x", "m"], ["d"]), node("Flatten", ["d"], ["rows"]), LINEAR[1]],
                            "z": np.array([0])}, "depends on the other images of its batch"),
    "a bomb": ({"nodes": [node("ConstantOfShape", ["s"], ["c"]), *LINEAR], "s": np.array([1 << 20, 1 << 20])}, "makes a constant of"),
    "a large value": ({"nodes": [node("Tile", ["x", "s"], ["t"]), node("ReduceMean", ["t"], ["y"])], "s": np.array([1, 1, 60000, 60000])}, "makes .* numbers"),
    "a loop": ({"nodes": [LINEAR[0], node("Loop", ["rows"], ["y"])]}, "branches while it runs"),
    "a missing value": ({"nodes": [LINEAR[1]]}, "takes 'rows', which nothing before it makes"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_the_cause_and_the_fix(name, folder, run):
    given, said = REFUSED[name]
    saved(graph(**given))
    ran = run("import", "net.onnx")
    assert ran.code == 3, ran.err
    lines = [line for line in ran.err.splitlines() if not line.startswith("warning: classes")]
    assert len(lines) <= 2
    assert re.search(said, ran.err, re.DOTALL), ran.err
    assert not Path("model.safetensors").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "is empty"), (b"<!doctype html><p>404", "a web page"), (b"version https://git-lfs.github.com", "git lfs pull"),
     (b"\x00\x01\x02", "not an ONNX file, or a damaged one")],
    ids=["empty", "web page", "pointer", "noise"],
)  # fmt: skip
def test_what_is_no_graph_is_called_so(data, said, folder, run):
    Path("net.onnx").write_bytes(data)
    assert said in import_(run, code=3)
    saved(graph())
    Path("net.onnx").write_bytes(Path("net.onnx").read_bytes()[:100])
    assert "damaged" in import_(run, code=3)


def test_options_of_others_are_refused(folder, run):
    saved(graph())
    for more, code, said in (
        (["--arch", "cnn"], 2, "--arch: is for weights; net.onnx holds its own network"),
        (["--input", "1x5x5"], 3, "takes images of 1x4x4, not 1x5x5"),
        (["--classes", "a,b"], 2, "has 2 classes, and net.onnx has 3 outputs"),
        (["--batch-size", "3"], 2, "--batch-size: is for a function"),
        (["--split", "test"], 2, "--split: is for images"),
    ):
        assert said in import_(run, *more, code=code)


@pytest.mark.parametrize(
    ("change", "said"),
    [(("location", "../w.data"), "only a file in the same folder is read"), (("location", "/etc/passwd"), "only a file in the same folder"),
     (("location", "link.data"), "which is a link"), (("location", "none.data"), "which is not beside it: put both in one folder"), (("length", "9999"), "is shorter than"),
     (("offset", "-5"), "no valid place"), (None, "")],
    ids=str,
)  # fmt: skip
def test_numbers_in_another_file_are_read_from_beside_it_alone(change, said, folder, run):
    (folder / "models").mkdir()
    path = folder / "models" / "net.onnx"
    onnx.save(graph(), path, save_as_external_data=True, location="w.data", size_threshold=0)
    (folder / "models" / "link.data").symlink_to(folder / "models" / "w.data")
    if change is None:
        import_(run, file=path)
        x = torch.rand(5, *SHAPE)
        torch.testing.assert_close(outputs(x), expected(x))
        assert model_file.read("model.safetensors").metadata["made"]["beside"]
        return
    model = onnx.load(path, load_external_data=False)
    for one in model.graph.initializer[0].external_data:
        one.value = change[1] if one.key == change[0] else one.value
    saved(model, path)
    assert said in import_(run, code=3, file=path)


def test_a_graph_that_is_read_in_another_way_than_onnx_does_is_refused(folder, run, monkeypatch):
    saved(graph([*LINEAR[:1], node("MatMul", ["rows", "w"], ["l"]), node("LeakyRelu", ["l"], ["y"], alpha=0.5)]))

    def wrong(one):
        assert isinstance(one.value(0), Ref)
        return one.add("leaky_relu", one.value(0), slope=one.attributes["alpha"] * 0.8)

    monkeypatch.setitem(onnx_arithmetic.NODES, "LeakyRelu", wrong)
    assert "so an attack would be on another network; please report this" in import_(run, code=3)


@pytest.mark.parametrize("attribute", [{"exclude_outside": 1}, {"cubic_coeff_a": -0.5}])
def test_an_attribute_that_is_not_read_is_refused_by_name(folder, run, attribute):
    resized = node("Resize", ["x", "", "scales"], ["r"], mode="cubic", **attribute)
    saved(graph([resized, node("Flatten", ["r"], ["rows"]), LINEAR[1]], scales=np.float32([1, 1, 1, 1])))
    assert f"its Resize has the attribute '{next(iter(attribute))}', which is not read" in import_(run, code=3)


NONSENSE = {
    "no graph": 3, "no steps": {"steps": []}, "an unknown operation": {"steps": [["os.system", [0], {}]]},
    "an own name": {"steps": [["__class__", [0], {}]]}, "a later value": {"steps": [["relu", [1], {}]]},
    "an unknown constant": {"steps": [["add", [0, "c9"], {}]]}, "a strange constant": {"constants": {"forward": ["float32", []]}},
    "a strange attribute": {"steps": [["reshape", [0], {"shape": {"a": 1}}]]}, "too few": {"steps": [["add", [0], {}]]},
    "too many images": {"steps": [["tile", [0], {"repeats": [1, 1, 60000, 60000]}]]},
    "a large layer": {"steps": [["linear", [0], {"given": 1 << 30, "out": 1 << 30, "bias": False}]]},
    "negative sizes": {"steps": [["reshape", [0], {"shape": [-5, -1]}]]}, "no classes": {"steps": [["relu", [0], {}]]},
}  # fmt: skip


@pytest.mark.parametrize("name", NONSENSE)
def test_a_stored_graph_that_says_nonsense_is_refused(name, folder, run):
    saved(graph())
    import_(run)
    good = model_file.read("model.safetensors")
    change = NONSENSE[name]
    stored = change if isinstance(change, int) else {**good.metadata["arch"]["graph"], **change}
    metadata = {**good.metadata, "arch": {"name": "onnx", "parameters": {}, "graph": stored}}
    Path("bad.safetensors").write_bytes(model_file.packed(metadata, good.tensors if name == "no graph" else {}))
    with pytest.raises(InputError, match=r"bad\.safetensors"):
        model_file.read("bad.safetensors")


def test_layers_are_torchs_own_so_that_models_are_laid_out_for_speed(folder, run):
    kernel = np.random.default_rng(0).normal(size=(3, 1, 3, 3)).astype(np.float32)
    nodes = [node("Conv", ["x", "k"], ["c"], pads=[1] * 4), node("Relu", ["c"], ["r"]),
             node("MaxPool", ["r"], ["m"], kernel_shape=[2, 2], strides=[2, 2]), node("Flatten", ["m"], ["rows"]), LINEAR[1]]  # fmt: skip
    saved(graph(nodes, k=kernel, w=weights(12)))
    import_(run)
    kinds = [type(one) for one in model_file.read("model.safetensors").module().network.layers.values()]
    assert kinds == [nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Linear]
