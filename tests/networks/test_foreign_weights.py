"""Weights of other tools: every usual layout gives the logits of plain torch; what would run code is refused."""

import io
import json
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from advcli.datasets.digits import digits
from advcli.networks import model_file


class Plain(nn.Module):
    """The small cnn, written by somebody who has never heard of us."""

    def __init__(self, classes: int = 10, channels: int = 1, size: int = 8) -> None:
        super().__init__()
        layers = [nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Identity(),
                  nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Identity(), nn.Flatten(),
                  nn.Linear(32 * (size // 4) ** 2, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, classes)]  # fmt: skip
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = Plain().layers
    x, label = digits("train").batch(0, 1168)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(12):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(2 * x - 1), label).backward()
        optimizer.step()
    return net.eval()


def prefixed(state, prefix):
    return OrderedDict((prefix + name, tensor) for name, tensor in state.items())


def legacy(state, path):
    torch.save(state, path, _use_new_zipfile_serialization=False)


def from_cuda(state, path):
    """As a GPU would have saved it: the storages say cuda:0."""
    data = io.BytesIO()
    torch.save(state, data)
    with zipfile.ZipFile(data) as source, zipfile.ZipFile(path, "w") as target:
        for one in source.infolist():
            content = source.read(one)
            if one.filename.endswith("data.pkl"):
                assert b"cpuq" in content
                content = content.replace(b"X\x03\x00\x00\x00cpuq", b"X\x06\x00\x00\x00cuda:0q")
            target.writestr(one.filename, content)


LAYOUTS = {
    "bare.pt": lambda state, path: torch.save(state, path),
    "bare.pth": lambda state, path: torch.save(dict(state), path),
    "bare.safetensors": lambda state, path: safetensors.torch.save_file(dict(state), path),
    "legacy.pth": legacy,
    "legacy-nested.pth": lambda state, path: legacy({"state_dict": prefixed(state, "module."), "epoch": 3}, path),
    "cuda.pt": from_cuda,
    **{f"{key}.pt": lambda state, path, key=key: torch.save({key: state, "epoch": 3, "best": 0.5}, path)
       for key in ("state_dict", "model", "model_state_dict", "net", "ema")},
    **{f"prefix-{name}.pt": lambda state, path, name=name: torch.save(prefixed(state, name), path)
       for name in ("module.", "model.", "_orig_mod.", "module._orig_mod.")},
    "averaged.pt": lambda state, path: torch.save({"n_averaged": torch.tensor(3), **prefixed(state, "module.")}, path),
    "parameters.pt": lambda state, path: torch.save({name: nn.Parameter(tensor) for name, tensor in state.items()}, path),
    "views.pt": lambda state, path: torch.save({k: v.t().contiguous().t() if v.ndim == 2 else v for k, v in state.items()}, path),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_usual_layout_gives_the_logits_of_plain_torch(name, run, folder, network):
    LAYOUTS[name](network.state_dict(), Path(name))
    ran = run("import", name, "--arch", "cnn", "--mean", "0.5", "--std", "0.5", "-o", "m.safetensors")
    assert ran.code == 0, ran.err
    model = model_file.read("m.safetensors")
    assert (model.shape, len(model.classes)) == ((1, 8, 8), 10)
    x, _ = digits("test").batch(0, 500)
    with torch.no_grad():
        assert torch.equal(model.module()(x), network((x - 0.5) / 0.5))


def test_accuracy_of_foreign_weights_equals_a_plain_loop_to_the_image(run, folder, network):
    torch.save(network.state_dict(), "w.pt")
    run("import", "w.pt", "--arch", "cnn", "--mean", "0.5", "--std", "0.5", "--data", "digits")
    x, label = digits("test").batch(0, 500)
    with torch.no_grad():
        right = sum(int(network((a - 0.5) / 0.5).argmax(1) == b) for a, b in zip(x[:, None], label, strict=True))
    rows = json.loads(run("evaluate", "--json").out)["rows"]
    assert next(row["k"] for row in rows if row["metric"] == "accuracy") == right
    assert 400 < right < 500


@pytest.mark.parametrize(("channels", "size", "classes"), [(3, 32, 10), (1, 28, 2), (3, 8, 100)])
def test_channels_size_and_classes_are_guessed_from_shapes(run, folder, channels, size, classes):
    torch.save(Plain(classes, channels, size).layers.state_dict(), "w.pt")
    ran = run("import", "w.pt", "--arch", "cnn")
    assert ran.code == 0, ran.err
    model = model_file.read("model.safetensors")
    assert (model.shape, len(model.classes)) == ((channels, size, size), classes)
    assert f"0 to {classes - 1}" in ran.err


@pytest.mark.parametrize(("width", "shape"), [(64, (1, 8, 8)), (784, (1, 28, 28)), (3072, (3, 32, 32))])
def test_flat_inputs_are_guessed_too(run, folder, width, shape):
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(width, 10)).state_dict(), "w.pt")
    assert run("import", "w.pt", "--arch", "softmax").code == 0
    assert model_file.read("model.safetensors").shape == shape


def test_half_precision_comes_in_as_float32(run, folder, network):
    torch.save({name: tensor.half() for name, tensor in network.state_dict().items()}, "w.pt")
    assert run("import", "w.pt", "--arch", "cnn").code == 0
    kept = model_file.read("model.safetensors").tensors
    assert {tensor.dtype for tensor in kept.values()} == {torch.float32}
    assert torch.equal(kept["0.weight"], network.state_dict()["0.weight"].half().float())


def test_a_wrong_architecture_names_the_first_missing_and_unexpected_keys(run, folder, network):
    torch.save(network.state_dict(), "w.pt")
    ran = run("import", "w.pt", "--arch", "mlp")
    assert ran.code == 3
    assert "first missing '1.weight'" in ran.err
    assert "first unexpected '0.weight'" in ran.err
    assert "0.weight has shape" in run("import", "w.pt", "--arch", "cnn", "--width", "5").err


SPRUNG = Path("sprung")


class Canary:
    """Unpickled, it leaves a file behind."""

    def __reduce__(self):
        return (open, (str(SPRUNG.resolve()), "w"))


class Program(nn.Module):
    def forward(self, x):
        return x


def script(path):
    torch.jit.save(torch.jit.script(Program()), path)


CANARIES = {
    "module.pt": lambda path: torch.save(Plain(), path),
    "canary.pt": lambda path: torch.save({"a": Canary()}, path),
    "legacy.pt": lambda path: legacy(Canary(), path),
    "canary.pkl": lambda path: Path(path).write_bytes(sys.modules["pickle"].dumps(Canary())),
    "canary.npy": lambda path: np.save(path, np.array([Canary()], dtype=object), allow_pickle=True),
    "canary.npz": lambda path: np.savez(path, images=np.array([Canary()], dtype=object)),
    "script.pt": script,
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("override", [None, "1"])
@pytest.mark.parametrize("name", CANARIES)
def test_nothing_that_is_pickled_runs(name, override, run, folder, monkeypatch):
    CANARIES[name](name)
    if override:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", override)
    SPRUNG.unlink(missing_ok=True)
    verbs = [["import", name, "--arch", "cnn"], ["evaluate", "--model", name], ["attack", "--model", name], ["train", "--data", name],
             ["evaluate", name], ["stats", name], ["show", name], ["verify", name], ["defend", name], ["export", name]]  # fmt: skip
    for verb in verbs:
        ran = run(*verb)
        assert ran.code in (2, 3), ran.err
        assert len([line for line in ran.err.splitlines() if line.startswith("advcli: ")]) <= 3
        assert not SPRUNG.exists(), verb
    if name in ("module.pt", "script.pt"):
        said = run("import", name, "--arch", "cnn").err
        assert "torch.save(model.state_dict(), 'weights.pt')" in said
        assert ("torch.jit.load" in said) == (name == "script.pt")


def test_the_canaries_sing_where_they_are_let(folder):
    CANARIES["canary.pt"]("canary.pt")
    torch.load("canary.pt", weights_only=False)["a"].close()
    assert SPRUNG.exists()


def test_a_cut_file_is_called_damaged_and_no_program(run, folder, network):
    torch.save(network.state_dict(), "whole.pt", _use_new_zipfile_serialization=False)
    Path("cut.pt").write_bytes(Path("whole.pt").read_bytes()[:-40])
    ran = run("import", "cut.pt", "--arch", "mlp")
    assert ran.code == 3
    assert "not a state_dict, or a damaged one" in ran.err
    assert "module" not in ran.err


def test_weights_among_which_something_else_stands_are_refused(run, folder, network):
    torch.save({**network.state_dict(), "epoch": 3}, "mixed.pt")
    ran = run("import", "mixed.pt", "--arch", "mlp")
    assert ran.code == 3
    assert "mixed.pt: holds no state_dict: expected names and tensors" in ran.err


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_packed_record_is_refused_however_small_it_is(how, run, folder, network):
    torch.save(network.state_dict(), "whole.pt")
    with zipfile.ZipFile("whole.pt") as source, zipfile.ZipFile("packed.pt", "w") as target:
        for number, one in enumerate(source.infolist()):
            target.writestr(one.filename, source.read(one), how if number == 0 else zipfile.ZIP_STORED)
    ran = run("import", "packed.pt", "--arch", "mlp")
    assert ran.code == 3
    assert "is compressed, which PyTorch never does: refused" in ran.err
