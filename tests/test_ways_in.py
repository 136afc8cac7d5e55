"""What a user has already gets in: each way from nothing, as a user would type it, in at most four commands."""

import importlib
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import advcli
from advcli.files.imageset_reader import ImageSet

MOST_COMMANDS = 4
SCRIPT = """
import torch
from sklearn.datasets import load_digits
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(128, 10)

    def forward(self, x):
        return self.fc(torch.max_pool2d(torch.relu(self.conv(x)), 2).flatten(1))


def train():
    digits, net = load_digits(), Net()
    x, y = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16, torch.tensor(digits.target)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(25):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net((x - 0.5) / 0.5), y).backward()
        optimizer.step()
    return net.eval()
"""
PIPELINE = """
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

digits = load_digits()
pipeline = make_pipeline(PCA(20, random_state=0), LogisticRegression(max_iter=100)).fit(digits.data / 16, digits.target)
asked = []


def scores(pictures):
    asked.append(len(pictures))
    return pipeline.predict_proba(pictures.reshape(len(pictures), -1))
"""


@pytest.fixture
def typed(run):
    """Run command lines one after the other; no more of them than a user has patience for."""

    def call(*lines):
        assert len(lines) <= MOST_COMMANDS
        said = []
        for line in lines:
            ran = run(*line.split())
            assert ran.code == 0, f"{line}\n{ran.err}"
            said.append(ran)
        return said

    return call


@pytest.fixture
def net(folder, monkeypatch):
    """The network of a plain PyTorch script, and its weights.pth."""
    monkeypatch.syspath_prepend(folder)
    Path("plainnet.py").write_text(SCRIPT)
    made = importlib.import_module("plainnet").train()
    torch.save(made.state_dict(), "weights.pth")
    return made


def test_weights_of_a_script_and_the_same_module_in_memory_get_the_same_attack(typed, net):
    imported, attacked, report = typed(
        "import weights.pth --arch plainnet:Net --mean 0.5 --std 0.5 --data digits",
        "attack --method pgd --eps 0.1 --limit 40 --allow plainnet:Net",
        "evaluate adversarial.h5 --allow plainnet:Net --json",
    )
    assert "clean accuracy on digits:test" in imported.err
    assert "warning" not in imported.err + attacked.err
    rows = {row["metric"]: row for row in json.loads(report.out)["rows"]}
    assert rows["accuracy"]["value"] < 0.5
    found = advcli.attack(net, data="digits", method="pgd", eps="0.1", limit=40, mean=0.5, std=0.5)
    with ImageSet("adversarial.h5") as opened:
        np.testing.assert_array_equal(np.asarray(found.images), opened.column("images"))
        np.testing.assert_array_equal(np.asarray(found.success), opened.column("success"))
        np.testing.assert_array_equal(np.asarray(found.prediction), opened.column("prediction"))
    mine = {row.metric: row for row in advcli.evaluate(found, model=net, data="digits", mean=0.5, std=0.5).rows}
    assert (mine["success"].k, mine["success"].n) == (rows["success"]["k"], rows["success"]["n"])


def test_the_onnx_export_of_that_network_gets_nearly_the_same_attack(typed, net):
    pytest.importorskip("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.rand(1, 1, 8, 8),), "net.onnx", dynamo=False)
    imported, attacked, report = typed(
        "import net.onnx --mean 0.5 --std 0.5 --data digits",
        "attack --method pgd --eps 0.1 --limit 40",
        "evaluate adversarial.h5 --json",
    )
    assert "answers as onnx's own evaluator does" in imported.err
    assert "clean accuracy on digits:test" in imported.err
    assert "warning" not in imported.err + attacked.err
    assert json.loads(report.out)["rows"]
    found = advcli.attack(net, data="digits", method="pgd", eps="0.1", limit=40, mean=0.5, std=0.5)
    with ImageSet("adversarial.h5") as opened:
        assert (np.asarray(found.success) == opened.column("success")).mean() > 0.95


def test_a_timm_network_with_random_weights(typed, folder):
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("resnet10t", num_classes=10, in_chans=1).state_dict(), "timm.pth")
    imported, attacked, _ = typed(
        "import timm.pth --arch timm:resnet10t --data digits --input 1x8x8",
        "attack --method fgsm --eps 0.1 --limit 40",
        "evaluate adversarial.h5",
    )
    assert "clean accuracy on digits:test" in imported.err
    assert "no better than chance" in attacked.err  # its weights are random, and that is said


def test_a_scikit_learn_pipeline_behind_a_function(typed, folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    Path("pipebox.py").write_text(PIPELINE)
    imported, attacked, report = typed(
        "import pipebox:scores --data digits --batch-size 16",
        "attack --allow pipebox:scores --method square --eps 0.2 --max-queries 60 --limit 10",
        "evaluate adversarial.h5 --allow pipebox:scores --metric success",
    )
    assert "gives scores of 10 classes, for at most 16 pictures a call" in imported.err
    assert max(importlib.import_module("pipebox").asked) <= 16
    assert "asked about" in attacked.err
    assert "square, linf, scores only" in report.out
    with ImageSet("adversarial.h5") as opened:
        assert opened.column("queries").max() <= 60


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_torchscript_file_is_refused_with_the_lines_that_help(run, net):
    torch.jit.save(torch.jit.trace(net, torch.zeros(1, 1, 8, 8)), "script.pt")
    ran = run("import", "script.pt", "--arch", "plainnet:Net", "--data", "digits")
    assert ran.code == 3
    assert "a TorchScript program, which runs code when it is loaded" in ran.err
    lines = [line.partition("advcli: ")[2].strip() for line in ran.err.splitlines()]
    code = "\n".join(line for line in lines if "torch." in line and "(" in line and "advcli" not in line)
    assert "torch.jit.load('script.pt')" in code
    assert "state_dict()" in code


def test_a_folder_of_pictures_of_several_sizes_with_a_csv(typed, folder):
    draw, rows = np.random.default_rng(0), ["filename;class"]
    Path("photos/images").mkdir(parents=True)
    for k in range(90):
        pixels = draw.random((20 + k % 7, 24 + k % 5, 3)) * 100 + 120 * (np.arange(3) == k % 3)
        Image.fromarray(pixels.astype(np.uint8)).save(f"photos/images/{k}.jpg")
        rows.append(f"{k}.jpg;{('red', 'green', 'blue')[k % 3]}")
    Path("photos/labels.csv").write_text("\ufeff" + "\r\n".join(rows))
    trained, attacked, report = typed(
        "train --data photos --image-size 16 --arch softmax --epochs 3",
        "attack --method fgsm --eps 8/255",
        "evaluate adversarial.h5 --json",
    )
    assert "photos/labels.csv: states no splits; by their names" in trained.err
    assert "attack: fgsm on photos:test" in attacked.err
    assert json.loads(report.out)["rows"][0]["n"] == len(ImageSet("adversarial.h5"))
