"""A class or a function of the user's own is an architecture as it stands: no decorator, no base class of ours."""

import zipfile
from pathlib import Path

import pytest
import torch

from advcli.networks import model_file

NETS = '''
import torch
from torch import nn


class Fixed(nn.Module):
    """A plain script's network."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(256, 10))

    def forward(self, x):
        return self.net(x)


class Defaults(nn.Module):
    def __init__(self, num_classes=1000, in_channels=3, width=4, rate: float = 0, norm=True, mean=None, seed=3):
        super().__init__()
        self.first = nn.Conv2d(in_channels, width, 3)
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.rate, self.last = rate, nn.Linear(width, num_classes)

    def forward(self, x):
        return self.last(self.norm(self.first(x)).amax((2, 3)))


class Sized(nn.Module):
    def __init__(self, input_shape: "tuple[int, int, int]", n_classes: "Unknown"):
        super().__init__()
        self.last = nn.Linear(input_shape[0] * input_shape[1] * input_shape[2], n_classes)

    def forward(self, x):
        return self.last(x.flatten(1))


def made(img_size, classes, *, bias: bool = True, **more):
    return nn.Sequential(nn.Flatten(), nn.Linear(img_size**2, classes, bias=bias))


class Blocks(nn.Module):
    def __init__(self, block, layers, num_classes=10):
        super().__init__()
        self.body, self.last = block(layers), nn.Linear(64, num_classes)

    def forward(self, x):
        return self.last(self.body(x))


def blocks(num_classes):
    return Blocks(block=nn.Flatten, layers=1, num_classes=num_classes)


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        raise KeyError("a file that is not here")


ready = Fixed()


def number():
    return 3
'''
QUICK = ["--epochs", "1", "--limit", "64"]


@pytest.fixture
def nets(folder, monkeypatch):
    """The module `nets` in the folder that the test stands in."""
    Path("nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(folder)
    import nets

    return nets


def saved(made: torch.nn.Module, prefix: str = "") -> torch.nn.Module:
    torch.save({"state_dict": {prefix + name: one for name, one in made.state_dict().items()}}, "w.pth")
    return made.eval()


CASES = {
    "Fixed": (lambda nets: nets.Fixed(), ["--input", "1x8x8"]),
    "Defaults": (lambda nets: nets.Defaults(5, 1, 6), ["--input", "1x8x8", "--width", "6"]),
    "Sized": (lambda nets: nets.Sized((1, 8, 8), 3), []),
    "made": (lambda nets: nets.made(8, 3, bias=False), ["--no-bias"]),
    "blocks": (lambda nets: nets.blocks(10), ["--data", "digits"]),
}


@pytest.mark.parametrize("prefix", ["", "module.", "net."])
@pytest.mark.parametrize("name", CASES)
def test_weights_of_an_own_class_give_its_own_logits(name, prefix, run, nets):
    make, more = CASES[name]
    x = torch.rand(4, 1, 8, 8)
    theirs = make(nets)
    saved(theirs, prefix)
    ran = run("import", "w.pth", "--arch", f"nets:{name}", *more)
    assert ran.code == 0, ran.err
    ours = model_file.read("model.safetensors")
    with torch.no_grad():
        assert torch.equal(ours.module()(x), theirs(x))
    assert len(ours.classes) == theirs(x).shape[1]


def test_the_size_of_its_images_is_found_by_running_it(run, nets):
    saved(nets.Fixed())
    assert run("import", "w.pth", "--arch", "nets:Fixed").code == 0
    assert model_file.read("model.safetensors").shape == (1, 8, 8)
    ran = run("import", "w.pth", "--arch", "nets:Fixed", "--input", "1x9x9", "--force")
    assert ran.code == 3
    assert "nets:Fixed fails on images of 1x9x9 (RuntimeError: mat1 and mat2" in ran.err


def test_names_of_other_classes_than_the_network_has_are_refused(run, nets):
    saved(nets.Fixed())
    ran = run("import", "w.pth", "--arch", "nets:Fixed", "--input", "1x8x8", "--classes", "a,b,c")
    assert ran.code == 2
    assert "--classes: has 3 classes, and nets:Fixed has 10 outputs" in ran.err


def test_train_builds_it_for_its_data_and_its_options_are_in_the_help(run, nets):
    assert run("train", "--arch", "nets:Defaults", "--width", "3", "--rate", "0.5", *QUICK).code == 0
    found = model_file.read("model.safetensors")
    assert found.metadata["arch"] == {"name": "nets:Defaults", "parameters": {"norm": True, "rate": 0.5, "width": 3}}
    assert found.tensors["first.weight"].shape == (3, 1, 3, 3)
    assert "--arch nets:Defaults" in run("show", "model.safetensors").out
    shown = run("train", "--arch", "nets:Defaults", "--help").out
    assert "--width INTEGER" in shown.replace("  ", " ").replace("  ", " ")
    assert "--no-norm" in shown
    assert shown.count("--seed") == 1, "an option of the verb stays the verb's"


def test_train_starts_from_weights_whose_names_have_the_own_prefix(run, nets):
    saved(nets.Fixed(), "module.")
    ran = run("train", "--arch", "nets:Fixed", "--weights", "w.pth", *QUICK)
    assert ran.code == 0, ran.err
    assert "4 tensors loaded" in ran.err


REFUSED = {
    "Blocks": (2, "nets:Blocks: needs block, layers; write in nets.py: def blocks(num_classes): "
                  "return Blocks(block=..., layers=..., num_classes=num_classes), and give --arch nets:blocks"),
    "ready": (2, "nets:ready: is an object (Fixed); name a class or function"),
    "Broken": (2, "nets:Broken: cannot be built for images of 1x8x8 (KeyError: 'a file that is not here')"),
    "number": (2, "nets:number: returns int; an architecture returns a torch.nn.Module"),
    "nothing": (2, "module nets has no 'nothing'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_called_says_what_to_write(name, run, nets):
    code, words = REFUSED[name]
    ran = run("train", "--arch", f"nets:{name}", *QUICK)
    assert ran.code == code
    assert words in ran.err
    saved(nets.Fixed())
    ran = run("import", "w.pth", "--arch", f"nets:{name}", "--input", "1x8x8")
    assert ran.code in (2, 3)
    assert words in ran.err


def archive(path: str) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("net/models/model.json", "{}")


NOT_WEIGHTS = {
    "page.pt": (lambda path: Path(path).write_text("\n<!DOCTYPE html><html>sign in</html>"), "a web page, not weights"),
    "page.safetensors": (lambda path: Path(path).write_text("<html><body>404"), "a web page, not weights"),
    "pointer.pth": (lambda path: Path(path).write_text("version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
    "program.pt2": (archive, "model = torch.export.load('program.pt2').module()"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_WEIGHTS)
def test_a_file_that_holds_no_weights_is_called_by_its_name(name, run, folder):
    write, words = NOT_WEIGHTS[name]
    write(name)
    ran = run("import", name, "--arch", "cnn")
    assert ran.code == 3
    assert words in ran.err
