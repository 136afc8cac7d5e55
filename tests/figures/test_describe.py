"""The parts of models: every layer with its shape, and parameters that sum to those of the file."""

import csv
from pathlib import Path

import pytest
import safetensors.numpy
import torch
from matplotlib.patches import FancyBboxPatch
from torch import nn

from advcli.catalog.requests import EvaluateRequest
from advcli.evaluation.description import described, groups
from advcli.evaluation.judge import Judge
from advcli.figures.describe import MOST_BOXES, describe
from advcli.networks.model_file import read
from judged_modules import judge_of


def table(path: str) -> list[dict[str, str]]:
    with open(path) as file:
        return list(csv.DictReader(file))


def boxes(found) -> list[list[str]]:
    (axes,) = found.figure.axes
    assert len([one for one in axes.patches if isinstance(one, FancyBboxPatch)]) == len([t for t in axes.texts if t.get_text()])
    return [text.get_text().split("\n") for text in axes.texts if text.get_text()]


def test_a_stack_of_six_lists_its_branches_filters_shapes_and_parameters(run, folder):
    """S4-F1: figures 3 and 4, the integrated model, its six branches with their filters, shapes and parameter counts."""
    words = ("--limit", "60", "--epochs", "1")
    assert run("train", "--arch", "cnn", "--width", "2", "--hidden", "4", *words, "-o", "a.safetensors").code == 0
    filters = ["squeeze", "jpeg", "gaussian", "highpass"]
    for one in filters:
        assert run("defend", "--model", "a.safetensors", "--method", one, "-o", f"{one}.safetensors").code == 0
    assert (
        run(
            "defend", "--model", "squeeze.safetensors", "--method", "dropout-vote", "--passes", "3", "-o", "vote.safetensors"
        ).code
        == 0
    )
    members = [word for one in (*filters, "vote") for word in ("--member", f"{one}.safetensors")]
    ran = run(
        "defend", "--model", "a.safetensors", "--method", "stack", *members, *words, "--hidden", "5", "-o", "stack.safetensors"
    )
    assert ran.code == 0, ran.err
    assert run("stats", "--model", "stack.safetensors", "--figure", "describe", "--format", "svg", "-o", "out").code == 0
    found = table("out/describe.csv")
    tensors = safetensors.numpy.load_file("stack.safetensors")
    assert int(found[-1]["parameters"]) == sum(one.size for one in tensors.values())
    each = {row["branch"]: [one for one in found if one["branch"] == row["branch"]] for row in found}
    assert list(each) == ["model", "member 1", "member 2", "member 3", "member 4", "member 5", "all"]
    for name, defenses in zip(list(each)[:6], [[], *([one] for one in filters), ["squeeze", "dropout-vote"]], strict=True):
        assert [row["layer"] for row in each[name] if row["type"] == "defense"] == defenses
        assert [row["output"] for row in each[name] if row["type"] in ("Conv2d", "Linear")] == ["2x8x8", "4x4x4", "4", "10"]
        assert [int(row["parameters"]) for row in each[name] if row["type"] == "Conv2d"] == [2 * 9 + 2, 4 * 2 * 9 + 4]
    assert [int(row["parameters"]) for row in each["all"] if row["type"] == "Linear"] == [60 * 5 + 5, 5 * 10 + 10]
    assert "passes=3" in each["member 5"][1]["options"]
    drawn = boxes(describe(Judge(read("stack.safetensors"), EvaluateRequest())))
    assert [words[0] for words in drawn].count("cnn") == 6
    assert ["stack", "365 param., hidden 5"] in drawn
    column = [words[0] for words in drawn][-5:]
    assert column == ["squeeze", "cnn", "dropout-vote", "stack", "logits"], "the filter before the network, the vote after it"


def test_a_residual_network_is_drawn_by_its_blocks_and_listed_by_its_layers(folder, run):
    ran = run("train", "--arch", "resnet18", "--width", "2", "--limit", "20", "--epochs", "1", "-o", "r.safetensors")
    assert ran.code == 0, ran.err
    model = read("r.safetensors")
    found = describe(Judge(model, EvaluateRequest()))
    module = model.module()
    assert found.rows[-1]["parameters"] == sum(one.numel() for one in module.parameters())
    assert [row["type"] for row in found.rows].count("Conv2d") == 20
    (branch,) = described(model).branches
    names = [one.name for one in groups(branch, MOST_BOXES)]
    assert names == ["conv1", "bn1", *(f"layer{k}.{n}" for k in range(1, 5) for n in (0, 1)), "fc"]
    assert sum(one.parameters for one in groups(branch, MOST_BOXES)) == found.rows[-1]["parameters"]
    assert len(boxes(found)) == len(names) + 2


def test_long_chains_share_boxes_and_weights_outside_layers_are_counted():
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.zeros(5))
            self.unused = nn.Linear(2, 2)
            self.chain = nn.Sequential(nn.Flatten(), *(nn.Linear(4, 4) for _ in range(60)))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.chain(x)

    judge = judge_of(Tokens(), (1, 2, 2), ("a", "b", "c", "d" * 60))
    found = describe(judge)
    assert found.rows[-1]["parameters"] == 5 + 6 + 60 * 20
    assert [(row["layer"], row["output"]) for row in found.rows[-3:-1]] == [("network", ""), ("unused", "")]
    assert len(boxes(found)) <= MOST_BOXES + 2


@pytest.mark.parametrize("arch", ["tree", "knn"])
def test_models_of_scikit_learn_are_one_layer_with_what_they_store(run, folder, arch):
    assert run("train", "--arch", arch, "--limit", "100", "-o", "model.safetensors").code == 0
    assert run("stats", "--figure", "describe").code == 0
    found = table("model.stats/describe.csv")
    stored = sum(one.size for one in safetensors.numpy.load_file("model.safetensors").values())
    assert [(row["layer"], row["type"], row["output"], row["stored"]) for row in found] == [
        ("network", "Fitted", "10", str(stored)),
        ("total", "", "", str(stored)),
    ]


def test_a_function_is_described_without_being_asked(run, folder):
    Path("boxed.py").write_text(
        "import numpy as np\nasked = []\ndef scores(x):\n    asked.append(len(x))\n    return np.asarray(x).reshape(len(x), -1)[:, :10]\n"
    )
    assert (
        run("import", "boxed:scores", "--input", "1x8x8", "--classes", ",".join("0123456789"), "-o", "box.safetensors").code == 0
    )
    import boxed

    boxed.asked.clear()
    assert run("stats", "--model", "box.safetensors", "--allow", "boxed:scores", "--figure", "describe").code == 0
    assert boxed.asked == []
    assert [(row["type"], row["output"]) for row in table("box.stats/describe.csv")] == [("BlackBox", "10"), ("", "")]


def test_a_graph_lists_its_layers_and_its_other_operations(run, folder):
    onnx = pytest.importorskip("onnx")
    import onnx_graphs

    nodes = [onnx_graphs.node("Flatten", ["x"], ["rows"]), onnx_graphs.node("MatMul", ["rows", "w"], ["z"]),
             onnx_graphs.node("Relu", ["z"], ["r"]), onnx_graphs.node("Add", ["r", "shift"], ["y"])]  # fmt: skip
    onnx.save(onnx_graphs.graph(nodes, shift=onnx_graphs.weights(1, 3)), "g.onnx")
    ran = run("import", "g.onnx", "--input", "1x4x4", "--classes", "a,b,c", "-o", "g.safetensors")
    assert ran.code == 0, ran.err
    assert run("stats", "--model", "g.safetensors", "--figure", "describe").code == 0
    found = table("g.stats/describe.csv")
    assert [row["type"] for row in found if row["type"] in ("ReLU", "add")] == ["ReLU", "add"]
    assert found[-2]["type"] == "add"
    stored = sum(one.size for one in safetensors.numpy.load_file("g.safetensors").values())
    assert int(found[-1]["parameters"]) + int(found[-1]["stored"]) == stored
