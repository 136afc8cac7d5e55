"""`import module:function`, where the function returns a network with its weights: no file of weights is needed."""

from pathlib import Path

import pytest
import torch

from advcli.networks import model_file

NET = """
import torch
from torch import nn

seed = 0


def trained():
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def sized(num_classes, width=3):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, num_classes))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = trained()
        self.fc[1].weight.data[0, 0] = float("nan")

    def forward(self, x):
        return self.fc(x)


def nothing():
    return [1, 2]
"""


@pytest.fixture
def own(folder, monkeypatch):
    Path("ownnet.py").write_text(NET)
    monkeypatch.syspath_prepend(folder)
    import ownnet

    return ownnet


def test_a_network_is_imported_with_the_weights_that_its_function_gives_it(own, run):
    ran = run("import", "ownnet:trained", "--data", "digits", "--mean", "0.5", "--std", "0.25")
    assert ran.code == 0, ran.err
    assert "ownnet:trained: clean accuracy on digits:test: " in ran.err
    shown = run("show", "model.safetensors").out
    (line,) = (line for line in shown.splitlines() if "advcli import" in line)
    assert line.endswith("ownnet:trained")
    assert all(words in line for words in ("--data digits:train", "--mean 0.5", "--std 0.25"))
    x = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        wanted = own.trained()((x - 0.5) / 0.25)
        own.seed = 1  # the file keeps the weights; the function is the architecture from now on
        assert torch.allclose(model_file.read("model.safetensors").module()(x), wanted, atol=1e-5)
    again = run("import", "ownnet:trained", "--data", "digits", "--mean", "0.5", "--std", "0.25")
    assert again.code == 3
    assert "model.safetensors: exists, and holds another network than ownnet:trained gives now; --force" in again.err
    ran = run("attack", "--method", "fgsm", "--eps", "0.1", "--limit", "10", "--allow", "ownnet:trained", "--data", "digits")
    assert ran.code == 0, ran.err


def test_its_number_of_classes_is_that_of_the_names(own, run):
    ran = run("import", "ownnet:sized", "--input", "1x8x8", "--classes", "a,b,c")
    assert ran.code == 0, ran.err
    found = model_file.read("model.safetensors")
    assert found.metadata["arch"] == {"name": "ownnet:sized", "parameters": {"width": 3}}
    assert found.classes == ("a", "b", "c")


WRONG = {
    "sized": (("--input", "1x8x8"), 2, "--classes: name the classes, or give --data; ownnet:sized makes"),
    "trained": ((), 2, "--input: give channels, height and width"),
    "trained ": (("--input", "3x8x8"), 3, "ownnet:trained: gives no network for images of 3x8x8 (RuntimeError"),
    "trained  ": (("--input", "1x8x8", "--arch", "cnn"), 2, "--arch: has no use here: ownnet:trained returns a network"),
    "Net": (("--data", "digits"), 3, "ownnet:Net: fc.1.weight holds numbers that are not finite"),
    "nothing": (("--data", "digits"), 3, "returns list; an architecture returns a torch.nn.Module"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_missing_is_named(name, own, run):
    more, code, words = WRONG[name]
    ran = run("import", f"ownnet:{name.strip()}", *more)
    assert ran.code == code, ran.err
    assert words in ran.err
    assert not Path("model.safetensors").exists()


def test_code_in_the_place_of_a_model_file_names_the_import(own, run):
    for line in (["attack", "--method", "fgsm"], ["evaluate"], ["defend"], ["audit"]):
        ran = run(*line, "--model", "ownnet:trained", "--allow", "ownnet:trained")
        assert ran.code == 3
        assert "ownnet:trained: is code, not a model file" in ran.err
        assert "advcli import ownnet:trained --data DATA [--mean X --std X] -o FILE.safetensors" in ran.err
