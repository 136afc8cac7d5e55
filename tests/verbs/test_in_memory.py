"""Attack and evaluate on what a notebook holds: the same bits as the command line, and nothing is written."""

import copy
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import advcli
from advcli.errors import AdvcliError, CommandError, InputError
from advcli.files.imageset_reader import ImageSet
from advcli.networks import model_file
from advcli.workspace import inputs

COUNT = 24
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # what the checks of an attack found; see the reporters' tests


@pytest.fixture(scope="module")
def bytes_and_labels() -> tuple[torch.Tensor, torch.Tensor]:
    """Some digits, as 8-bit pixels."""
    data = inputs.open_data("digits", "test").selected(None, COUNT, None)
    return (data.pictures(0, COUNT) * 255).round().to(torch.uint8), torch.from_numpy(data.labels[:COUNT])


@pytest.fixture
def net(small_model) -> nn.Module:
    """The trained network alone, as a user would have it."""
    return model_file.read(small_model).module().network


def attack(net, data, **given):
    return advcli.attack(net, data, **{"method": "pgd", "eps": "0.1", "steps": 3, **given})


@pytest.mark.parametrize("how", ["bytes", "imported", "quantized", "sweep", "minimal"])
def test_the_bits_are_those_of_the_command_line(how, run, folder, net, small_model, bytes_and_labels):
    pixels, labels = bytes_and_labels
    images = pixels if how == "bytes" else (pixels / 255) ** 0.9
    given = {
        "quantized": {"quantize": True},
        "sweep": {"eps": "0.05,0.1", "target": "next", "restarts": 2},
        "minimal": {"method": "deepfool", "eps": None, "steps": 5},
    }.get(how, {})
    given = {"method": "pgd", "eps": "0.1", "steps": 3, "batch_size": 10, **given}
    given = {key: value for key, value in given.items() if value is not None}
    np.savez("x.npz", images=images.numpy(), labels=labels.numpy())
    about, file = {}, small_model
    if how == "imported":
        about, file = {"mean": [0.1], "std": torch.tensor(0.75)}, "model.safetensors"
        torch.save(net.state_dict(), "net.pth")
        assert run("import", "net.pth", "--arch", "cnn", "--input", "1x8x8", "--mean", "0.1", "--std", "0.75").code == 0
    words = [word for key, one in given.items() for word in ([f"--{key.replace('_', '-')}"] + [str(one)] * (one is not True))]
    assert run("attack", "--model", file, "--data", "x.npz", *words).code == 0
    found = advcli.attack(net, (images, labels), **given, **about)
    with ImageSet("adversarial.h5") as made:
        assert {*made.names()} == {"header", *found.rows.columns}
        for name, column in found.rows.columns.items():
            assert column.dtype == made.kept(name)[0]
            np.testing.assert_array_equal(column, made.column(name), err_msg=name)
        same = ("kind", "classes", "split", "norm", "epsilon", "tolerance", "access", "repeated", "checks", "range")
        assert {key: made.header[key] for key in same} == {key: found.header[key] for key in same}
    report = advcli.evaluate([found], model=net, data=(images, labels), **about)
    table = json.loads(run("evaluate", "adversarial.h5", "--model", file, "--data", "x.npz", "--json").out)
    mine, theirs = [one.document() for one in report.rows], table["rows"]
    for one in (*mine, *theirs):
        del one["model"], one["set"]
        one["threat"]["notes"] = [note for note in one["threat"]["notes"] if not note.startswith("starts from")]
    assert json.loads(json.dumps(mine)) == theirs
    assert any(row.threat.knowledge == "white-box" for row in report.rows)
    assert "white-box" in run("evaluate", found.save("saved.h5"), "--model", file).out


def test_the_attributes_are_the_columns_of_the_file(folder, net, bytes_and_labels):
    pixels, labels = bytes_and_labels
    found = attack(net, (pixels, labels), eps="0,0.2")
    assert list(Path().iterdir()) == []
    assert found.images.shape == found.perturbations.shape == (2 * COUNT, 1, 8, 8)
    assert torch.equal(found.originals, pixels / 255)
    assert torch.equal(found.labels, labels.repeat_interleave(2))
    assert torch.equal(found.images - (pixels / 255).repeat_interleave(2, 0), found.perturbations)
    assert float(found.perturbations[0::2].abs().max()) == 0
    assert 0 < float(found.perturbations.abs().max()) <= 0.2 + 1e-6
    assert torch.equal(found.original, torch.arange(COUNT).repeat_interleave(2))
    with torch.no_grad():
        assert torch.equal(net.eval()(found.images).argmax(1), found.prediction)
    reached = (found.prediction != found.labels) & (found.clean_prediction == found.labels)
    assert torch.equal(found.success, reached)
    assert bool(found.success.any())
    assert f"{2 * COUNT} rows" in repr(found)
    assert {"images", "labels", "success", "prediction", "perturbations", "original", "save", "queries"} <= {*dir(found)}
    with pytest.raises(AttributeError, match="no stage"):
        found.stage  # noqa: B018  # the look-up is what is tested


def test_a_saved_set_is_the_file_that_a_path_would_have_got(run, folder, net, small_model, bytes_and_labels):
    found = attack(net, bytes_and_labels)
    assert found.path is None
    assert found.save("saved.h5") == found.path == Path("saved.h5")
    written = attack(net, bytes_and_labels, output="written.h5")
    assert Path("saved.h5").read_bytes() == Path("written.h5").read_bytes()
    assert torch.equal(written.images, found.images)
    assert (written.path, Path("written.perturbations.h5").exists()) == (Path("written.h5"), True)
    found.save("saved.h5")  # the same content
    other = attack(net, bytes_and_labels, eps="0.2")
    with pytest.raises(CommandError, match="force=True"):
        other.save("saved.h5")
    assert "images in memory sha256:" in run("show", "saved.h5").out
    checked = run("verify", "saved.h5")
    assert (checked.code, "memory of a Python program" in checked.out) == (0, True), checked.out
    np.savez("x.npz", images=bytes_and_labels[0].numpy(), labels=bytes_and_labels[1].numpy())
    checked = run("verify", "saved.h5", "--model", small_model, "--data", "x.npz")
    assert checked.code == 0, checked.err
    assert "by a fresh forward pass" in checked.out
    assert f"of {COUNT} images of x.npz" in " ".join(checked.out.split())
    table = run("evaluate", "saved.h5", "--model", small_model)
    assert "white-box" in table.out, table.err
    other.save("saved.h5", force=True)
    assert run("verify", "saved.h5").code == 0


class Scaled(nn.Module):
    """A network whose answer depends on a number that is no weight."""

    def __init__(self, net: nn.Module, power: float = 1.0) -> None:
        super().__init__()
        self.net, self.power = net, power

    def forward(self, x):
        return self.net(x**self.power)


def test_only_the_model_itself_counts_as_white_box(run, folder, net, small_model, bytes_and_labels):
    model = Scaled(net)
    found = attack(model, bytes_and_labels)

    def knowledge(other, **given) -> set[str]:
        return {row.threat.knowledge for row in advcli.evaluate([found], model=other, **given).rows}

    assert knowledge(model) == {"white-box"}
    assert knowledge(torch.nn.DataParallel(model)) == {"white-box"}
    assert knowledge(Scaled(net, 2.0)) == {"transfer"}
    assert knowledge(net) == {"transfer"}
    assert knowledge(model, mean=0.1) == {"transfer"}
    assert knowledge(small_model) == {"transfer"}
    with torch.no_grad():
        net[0].bias += 1e-3
    assert knowledge(model) == {"transfer"}
    other = small_model.parent / "none.safetensors"
    assert not other.exists()
    found.save("a.h5")
    assert run("verify", "a.h5", "--model", small_model).code == 3


def test_rows_become_a_frame_where_pandas_is_installed(net, bytes_and_labels, monkeypatch):
    report = advcli.evaluate(attack(net, bytes_and_labels), model=net, data=bytes_and_labels)
    records = report.records()
    assert len(records) == len(report.rows)
    for one, row in zip(records, report.rows, strict=True):
        assert (one["metric"], one["value"], one["low"], one["n"]) == (row.metric, row.value, row.low, row.n)
        assert (one["model"], one["epsilon"], one["knowledge"]) == ("Sequential", row.epsilon, row.threat.knowledge)
        assert all(value is None or isinstance(value, str | int | float) for value in one.values())
    clean, adversarial = report.rows[:2]
    lines = repr(report).splitlines()
    assert lines[0] == f"Sequential  memory:test  accuracy {clean.value:.4g} ({clean.k}/24, {clean.low:.1%} to {clean.high:.1%})"
    assert lines[1].startswith(f"Sequential  pgd  accuracy {adversarial.value:.4g} ({adversarial.k}/24, ")
    assert lines[1].endswith("[pgd, linf, 0.1, white-box]")
    assert len(lines) == len(report.rows) + sum(one.result.status != "PASS" for one in report.checks)
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda given: ("frame", given)))
    assert report.to_frame() == ("frame", records)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(AdvcliError, match="pip install pandas"):
        report.to_frame()


def test_classes_have_the_names_that_are_given_or_that_the_sets_have(net, bytes_and_labels):
    names = [f"digit {k}" for k in range(10)]
    found = attack(net, bytes_and_labels, classes=names, target="digit 3")
    assert found.classes == tuple(names)
    assert found.target.unique().tolist() == [3]
    report = advcli.evaluate(found, model=net, data=bytes_and_labels)
    assert {row.threat.knowledge for row in report.rows} == {"none", "white-box"}
    with pytest.raises(InputError, match="its classes"):
        advcli.evaluate(found, model=net, classes=",".join("abcdefghij"))
    with pytest.raises(CommandError, match="name the 3 outputs of Sequential; the data has 10 classes"):
        advcli.evaluate(found, model=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))


def test_what_passes_is_a_bar_as_for_files(net, bytes_and_labels):
    found = attack(net, bytes_and_labels)
    report = advcli.evaluate(found, model=net, fail_under="robust_accuracy=0.999")
    assert (report.passed, "below 99.9%" in report.failures[0]) == (False, True)
    assert advcli.evaluate(found, model=net, fail_under="robust_accuracy=0").passed


def test_a_model_file_takes_images_in_memory_and_a_module_takes_files(run, folder, net, small_model, bytes_and_labels):
    pixels, labels = bytes_and_labels
    np.savez("x.npz", images=pixels.numpy(), labels=labels.numpy(), classes=np.array(list("0123456789")))
    of_file = attack(str(small_model), (pixels, labels))
    of_module = attack(net, "x.npz", limit=10)
    assert len(of_module) == 10
    assert of_module.header["made"]["data"]["name"] == "file"
    assert of_file.header["victim"]["network"] == model_file.read(small_model).network
    report = advcli.evaluate([of_file, of_module, of_file], model=[small_model, net])
    assert {row.set for row in report.rows if "+" not in row.set} == {"pgd", "pgd (2)"}
    assert {row.model for row in report.rows} == {str(small_model), "Sequential"}
    both = advcli.evaluate(of_module, model=[net, Scaled(net), copy.deepcopy(net), net], metric="accuracy")
    assert [row.model for row in both.rows if row.kind == "adversarial"] == ["Sequential", "Scaled", "Sequential (2)"]
    again = attack(net, of_file, limit=5)
    assert torch.equal(again.originals, of_file.images[again.index])
    assert again.header["made"]["data"]["name"] == "file"
    three = attack(small_model, (pixels, labels), classes="3,1")
    assert {*three.labels.tolist()} == {1, 3}


def test_tensors_arrays_data_sets_and_loaders_are_the_same_images(net, bytes_and_labels):
    pixels, labels = bytes_and_labels
    x = pixels / 255
    whole = attack(net, (x, labels))
    pairs = TensorDataset(x, labels)
    state = torch.random.get_rng_state()
    given = [
        (x.numpy(), labels.numpy().astype(np.int32)),
        [x.double(), labels.tolist()],
        (x[:, 0].requires_grad_(), labels),
        pairs,
        DataLoader(pairs, batch_size=7),
        DataLoader(pairs, batch_size=7, shuffle=True),
        DataLoader(pairs, batch_size=None, shuffle=True),
        Pairs(x, labels),
    ]
    for one in given:
        assert torch.equal(attack(net, one).images, whole.images)
    assert torch.equal(torch.random.get_rng_state(), state)
    unlabelled = attack(net, x)
    assert unlabelled.labels.unique().tolist() == [-1]


class Pairs(torch.utils.data.IterableDataset):
    """Images one after another, in no known number."""

    def __init__(self, x, labels) -> None:
        self.x, self.labels = x, labels

    def __iter__(self):
        yield from zip(self.x, self.labels.tolist(), strict=True)


X = torch.full((3, 1, 8, 8), 0.5)
Y = torch.arange(3)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ((X * 255, Y), InputError, "divide by 255"),
        ((X - 1, Y), InputError, "mean="),
        ((X / 0, Y), InputError, "pixels run from"),
        ((X * torch.nan, Y), InputError, "from nan"),
        ((X[:0], Y[:0]), InputError, "holds no image"),
        (TensorDataset(X[:0], Y[:0]), InputError, "holds no image"),
        ((X, Y + 8), InputError, "row 2: 10, expected -1 to 9"),
        ((X, Y - 100), InputError, "-100"),
        ((X, Y.float()), InputError, "3 whole numbers"),
        ((X, Y[:2]), InputError, "3 whole numbers"),
        ((X[0, 0], Y), InputError, "whole numbers"),
        ((X[..., :6], Y), InputError, "fails on images of 1x8x6"),
        ((X.permute(0, 2, 3, 1), Y), InputError, "channels last"),
        (((X * 255).int(), Y), InputError, "uint8"),
        ((X, Y, Y), CommandError, "pair"),
        ({"images": X}, CommandError, "found dict"),
        (TensorDataset(X), CommandError, "1 values"),
        ([(X[0], 1), (X[0, :, :7], 1)], CommandError, "expected a pair"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(data, error, words, net):
    with pytest.raises(error, match=words):
        attack(net, data)


class Odd(torch.utils.data.Dataset):
    """Items that are no images of one shape."""

    def __init__(self, *items) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, k):
        return self.items[k]


def test_a_data_set_of_anything_else_is_refused(net):
    for items, words in [
        ([(X[0], 1), (X[0, :, :7], 1)], "several shapes"),
        ([(object(), 1)], "ToTensor"),
        ([{"image": X[0]}], "holds dict"),
    ]:
        with pytest.raises(AdvcliError, match=words):
            attack(net, Odd(*items))


class One(nn.Module):
    def forward(self, x):
        return x.mean((1, 2, 3))[:, None]


class Raising(nn.Module):
    def forward(self, x):
        raise KeyError("nothing\nhere")


@pytest.mark.parametrize(
    ("model", "given", "words"),
    [
        (One(), {}, "a logit for each class"),
        (nn.Flatten(3), {}, "returns 2x1x8x8 for 2 images"),
        (Raising(), {}, "fails on images of 1x8x8 .* KeyError: 'nothing"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), {}, "run it on an image first"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), {"classes": "a,b"}, "names 2 classes; Sequential has 3"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), {"classes": ["a", "a", "b"]}, "twice"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), {"mean": (0.1, 0.2)}, "--mean"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), {"std": [0.0]}, "--std"),
        (nn.Linear, {}, "model: expected a torch.nn.Module"),
        (lambda x: x, {}, "found function"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), {"method": "universal"}, "output=PATH"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), {"force": True}, "only with output"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), {"strict": True}, "as .failed"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), {"fit_data": (X, Y)}, "fit_data: takes names"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), {"stpes": 3}, "--stpes"),
    ],
)
def test_a_module_that_is_no_classifier_or_is_described_wrongly_is_refused(model, given, words):
    with pytest.raises(AdvcliError, match=words):
        advcli.attack(model, (X, Y), **given)


def test_other_verbs_take_files(net, folder):
    with pytest.raises(CommandError, match="audit: model: takes names and paths, not objects in memory"):
        advcli.audit(model=net)
    with pytest.raises(CommandError, match="give a model"):
        advcli.attack(data=(X, Y))
    assert list(Path().iterdir()) == []
    with pytest.raises(CommandError, match="give images"):
        advcli.evaluate(model=net)
    with pytest.raises(CommandError, match="files: expected adversarial images"):
        advcli.evaluate(net)
    with pytest.raises(TypeError, match="takes 2 positional"):
        advcli.attack(net, (X, Y), "pgd")
    with pytest.raises(TypeError, match="multiple values"):
        advcli.attack(net, (X, Y), model=net)
    assert len(advcli.attack(net, method="fool-gradient", input=(1, 8, 8), steps=1, target="3")) == 1


def test_a_defended_module_is_attacked_through_its_defense(run, folder, net, small_model, bytes_and_labels):
    np.savez("x.npz", images=bytes_and_labels[0].numpy(), labels=bytes_and_labels[1].numpy())
    assert run("defend", "--model", small_model, "--method", "squeeze", "--bits", "2").code == 0
    defended = advcli.defend(model=net, method="squeeze", bits=2)
    for static in (False, True):
        words = ["--static"] * static
        file = ["--model", "defended.safetensors", "--data", "x.npz", "--eps", "0.1", "--steps", "3"]
        assert run("attack", *file, *words, "-o", f"{static}.h5").code == 0
        found = attack(defended, bytes_and_labels, static=static)
        with ImageSet(f"{static}.h5") as made:
            np.testing.assert_array_equal(made.column("images"), found.rows.columns["images"])
        knowledge = {row.threat.knowledge for row in advcli.evaluate(found, model=defended).rows}
        assert knowledge == {"static" if static else "adaptive"}
        assert {row.threat.knowledge for row in advcli.evaluate(found, model=net).rows} == {"white-box" if static else "transfer"}
        found.save("saved.h5", force=True)
        assert ("static" if static else "adaptive") in run("evaluate", "saved.h5", "--model", "defended.safetensors").out
        assert run("verify", "saved.h5", "--model", "defended.safetensors").code == 0
        assert run("verify", "saved.h5", "--model", small_model).code == 3
    twice = advcli.defend(model=defended, method="average", samples=2)
    report = advcli.evaluate(found, model=[twice, defended])
    assert [row.threat.defenses for row in report.rows if row.metric == "success"] == [
        ("squeeze:bits=2", "average:samples=2"),
        ("squeeze:bits=2",),
    ]
    for given, words in [
        ({"method": "detector"}, "is fitted"),
        ({"method": "squeeze", "output": "d.safetensors"}, "--output: has no effect"),
        ({"method": "vote", "member": [str(small_model)]}, "--member: has no effect"),
        ({"method": "squeeze", "files": [found]}, "not both"),
    ]:
        with pytest.raises(CommandError, match=words):
            advcli.defend(model=net, **given)


def test_a_dry_run_counts_and_runs_nothing(folder, net, bytes_and_labels):
    assert attack(net, bytes_and_labels, dry_run=True).rows == COUNT
    assert list(Path().iterdir()) == []
