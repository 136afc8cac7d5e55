"""`timm:NAME`: a known library that is not installed with advcli; a stand-in takes its place here, so that no test needs it."""

import importlib.util
import sys

import pytest
import torch

from advcli.catalog import discovery, timm_names
from advcli.errors import CommandError, InputError
from advcli.networks import model_file
from timm_stand_in import STAND_IN


@pytest.fixture
def library(folder, monkeypatch):
    """A package called timm with one network, which takes images of one size."""
    (folder / "library").mkdir()
    (folder / "library" / "timm.py").write_text(STAND_IN)
    monkeypatch.setattr(sys, "path", [str(folder / "library"), *sys.path])
    for name in [one for one in sys.modules if one.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    discovery.spec.cache_clear()
    yield
    sys.modules.pop("timm", None)
    discovery.spec.cache_clear()


def take_away(monkeypatch):
    """Make this a machine without timm."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "timm" else found(name, *more))
    discovery.spec.cache_clear()


def weights(path="weights.pth"):
    torch.manual_seed(1)
    torch.save({"1.weight": torch.randn(10, 64), "1.bias": torch.randn(10)}, path)


def test_weights_of_timm_are_imported_with_its_own_normalisation(library, run):
    weights()
    ran = run("import", "weights.pth", "--arch", "timm:tiny.a1", "--data", "digits", "-o", "a.safetensors")
    assert ran.code == 0, ran.err
    assert "timm:tiny.a1: normalises with timm's mean [0.25] and std [0.5]; --mean and --std replace them" in ran.err
    assert model_file.read("a.safetensors").metadata["normalize"] == {"mean": [0.25], "std": [0.5]}
    ran = run(
        "import", "weights.pth", "--arch", "timm:tiny.a1", "--data", "digits", "--mean", "0", "--std", "1", "-o", "b.safetensors"
    )
    assert ran.code == 0
    assert "timm's" not in ran.err
    assert model_file.read("b.safetensors").metadata["normalize"] == {"mean": [0.0], "std": [1.0]}


def test_a_trained_network_of_timm_opens_without_allow_and_only_where_timm_is(library, run, monkeypatch):
    ran = run("train", "--arch", "timm:tiny.a1", "--epochs", "1", "--limit", "200", "--std", "1")
    assert ran.code == 0, ran.err
    assert "timm's mean [0.25]; --mean and --std replace them" in ran.err
    assert model_file.read("model.safetensors").metadata["normalize"] == {"mean": [0.25], "std": [1.0]}
    assert "timm:tiny.a1" not in discovery.PERMITTED
    assert run("attack", "--method", "fgsm", "--eps", "0.1", "--limit", "20").code == 0
    shown = run("show", "adversarial.h5")
    assert "--allow" not in shown.out
    take_away(monkeypatch)
    ran = run("evaluate", "--quiet")
    assert ran.code == 3
    (line,) = ran.err.splitlines()
    assert line.startswith("advcli: model.safetensors: its network cannot be built: ")
    assert line.endswith('timm:tiny.a1: needs timm: pip install "advcli[timm]"')


def test_without_timm_one_line_says_what_to_install(folder, run, monkeypatch):
    take_away(monkeypatch)
    weights()
    for line in (["train", "--arch", "timm:resnet18"], ["import", "weights.pth", "--arch", "timm:resnet18", "--data", "digits"]):
        ran = run(*line)
        assert (ran.code, ran.err) == (2, 'advcli: timm:resnet18: needs timm: pip install "advcli[timm]"\n')


@pytest.mark.parametrize(
    "name", ["timm:hf_hub:someone/net", "timm:hf-hub:x", "timm:local-dir:/tmp", "timm:", "timm:a/b", "timm:a\n"]
)
def test_a_file_cannot_have_timm_fetch_or_open_anything(name, library):
    with pytest.raises(InputError, match="is no name of a network of timm"):
        discovery.from_file("architecture", name)


def test_only_an_architecture_of_timm_needs_no_permission(library):
    assert discovery.from_file("architecture", "timm:tiny.a1").name == "timm:tiny.a1"
    for refused in (
        lambda: discovery.own_function("timm:create_model"),
        lambda: discovery.from_file("defense", "timm:create_model"),
    ):
        with pytest.raises(InputError, match="--allow timm:create_model"):
            refused()


def test_an_unknown_network_of_timm_is_called_so(library, run):
    ran = run("train", "--arch", "timm:nothing")
    assert ran.code == 2
    assert ran.err.startswith("advcli: timm:nothing: cannot be built for 1x8x8 (Unknown model (nothing))")


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
@pytest.mark.sweep
def test_the_real_timm_builds_for_any_number_of_classes_and_size(folder):
    for name, shape in (("resnet18", (3, 32, 32)), ("resnet10t", (1, 28, 28)), ("vit_tiny_patch16_224", (3, 64, 64))):
        network = discovery.spec("architecture", f"{timm_names.PREFIX}{name}").load()(shape, 7).eval()
        assert network(torch.zeros(2, *shape)).shape == (2, 7)
    with pytest.raises(CommandError, match="cannot be built"):
        discovery.spec("architecture", "timm:no_such_net").load()((3, 32, 32), 7)
