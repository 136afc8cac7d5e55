"""Traits decide what a method may be used for, its family is a heading: methods of a user's own are used like ours."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from advcli.catalog import discovery
from advcli.files import atomic
from advcli.networks import architecture, build, model_file
from advcli.networks.classifier import Classifier, Dropout
from advcli.networks.scikit_learn import Fitted
from faults import Interrupting

OWN = '''"""Methods of one's own, under families that nobody here has heard of."""
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from advcli.extend import Dataset, Filtered, Fitted, Library, architecture, defense, source

KINDS = {"weight": (torch.float32, 2), "bias": (torch.float32, 1)}


@defense(family="denoising", gradient="exact")
def blur(model):
    return Filtered(model, lambda x: nn.functional.avg_pool2d(x, 3, 1, 1))


@defense(family="denoising", gradient="exact", votes=True)
def twice(model):
    return blur(model)


def means(shape, classes):
    """The nearest mean: |x - m|^2 is linear in x but for a term that all classes share."""

    def fit(x, label, seed):
        found = np.stack([x[label == k].mean(0) for k in range(classes)])
        return {"weight": 2 * found, "bias": -(found**2).sum(1)}

    def check(found):
        return found["weight"].shape == (classes, int(np.prod(shape))) and found["bias"].shape == (classes,)

    def run(arrays, x):
        return nn.functional.linear(x, arrays["weight"], arrays["bias"])

    return Fitted(KINDS, fit, check, run, classes)


@architecture(family="prototypes", fitted=True)
def nearest_mean(shape, classes):
    return means(shape, classes)


@architecture(family="fitted", fitted=True, differentiable=False)
def closed(shape, classes):
    return means(shape, classes)


@architecture(family="fitted")
def mistaken(shape, classes):
    return means(shape, classes)


@architecture(family="fitted")
def trained(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes))


def blobs(split, size=6, **more):
    """Bright above, or bright below."""
    labels = np.arange(60) % 2
    pixels = torch.rand(60, 1, size, size, generator=torch.Generator().manual_seed(len(split))) / 4
    pixels[labels == 0, :, : size // 2] += 0.6
    pixels[labels == 1, :, size // 2 :] += 0.6
    origin = {"name": "blobs", "split": split, **more}
    return Dataset(name="blobs", split=split, classes=("above", "below"), shape=(1, size, size), labels=labels,
                   index=np.arange(60), read=lambda k: pixels[torch.from_numpy(k)], origin=origin, pixels=pixels)


@source(family="downloaded", splits=("train", "val", "test"), where="package")
def carried(split):
    return blobs(split)


@source(family="embedded", splits=("train", "val", "test"))
def fetched(split, library):
    assert isinstance(library, Library)
    return blobs(split)


@source(family="files", splits=("train", "val", "test"), resizes=True)
def scans(split, library, image_size=None, resize=None):
    return blobs(split, image_size or 6, image_size=image_size, resize=resize)


@source(family="downloaded", splits=("train",), where="path")
def opened(split, path):
    return blobs(split)
'''


@pytest.fixture
def own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / "own.py").write_text(OWN)
    monkeypatch.syspath_prepend(folder)
    return "own"


QUICK = ["--epochs", "1", "--limit", "120"]


def test_a_filter_of_ones_own_stands_before_a_network_in_training_whatever_its_family(run, own):
    assert run("train", *QUICK, "--preprocess", "own:blur").code == 0
    assert model_file.read("model.safetensors").defenses == [{"name": "own:blur", "parameters": {}}]
    assert run("attack", "--limit", "3", "--steps", "2", "--allow", "own:blur").code == 0
    assert run("verify", "adversarial.h5", "--allow", "own:blur").code == 0
    ran = run("train", *QUICK, "--preprocess", "own:twice", "-o", "no.safetensors")
    assert ran.code == 2
    assert "not a filter" in ran.err


@pytest.mark.parametrize("spec", [pytest.param(one, id=one.name) for one in discovery.specs("defense")])
def test_what_votes_is_what_asks_the_model_several_times(spec):
    """So that no defense that decides is taken for a filter, and no filter for one that decides."""
    net = nn.Sequential(nn.Flatten(), Dropout(0.5), nn.Linear(64, 4))
    model = Classifier(net, [0.0], [1.0], shape=(1, 8, 8), classes=4)
    members = [model, model] if spec.traits.members else []
    whole = build.wrap(spec.bind({}), model, members, (1, 8, 8), 4)
    alone = spec.traits.members or spec.traits.rejects
    assert spec.traits.votes == (build.forwards(whole) > 1 and not alone)
    assert spec.traits.precedes == (build.forwards(whole) == 1 and not spec.traits.learns and not spec.traits.rejects)


@pytest.mark.parametrize("spec", [pytest.param(one, id=one.name) for one in discovery.specs("architecture")])
def test_architectures_are_what_their_traits_say(spec):
    shape = (1, 28, 28) if spec.name in ("lenet", "cleverhans-basic") else (3, 32, 32)
    net = architecture.network(spec.bind({}), shape, 3)
    assert isinstance(net, Fitted) == spec.traits.fitted
    x = torch.rand(12, *shape, generator=torch.Generator().manual_seed(0))
    if spec.traits.fitted:
        net.fit(x.flatten(1).numpy(), torch.arange(12).remainder(3).numpy(), 0)
    point = x.clone().requires_grad_()
    slope = torch.autograd.grad(net.eval()(point)[:, 0].sum(), point)[0]
    assert bool(slope.abs().sum() > 0) == spec.traits.differentiable


def test_an_architecture_of_ones_own_that_is_fitted_needs_no_loop(run, own):
    ran = run("train", "--arch", "own:nearest-mean")
    assert ran.code == 2, "functions have no hyphens"
    assert run("train", "--arch", "own:nearest_mean").code == 0
    assert len(Path("model.log.jsonl").read_text().splitlines()) == 1
    ran = run("train", "--arch", "own:nearest_mean", "--epochs", "3", "-o", "no.safetensors")
    assert ran.code == 2
    assert "has no option --epochs" in ran.err
    told = run("evaluate", "--data", "digits", "--json", "--allow", "own:nearest_mean", "--model", "model.safetensors")
    assert json.loads(told.out)["rows"][0]["value"] > 0.85
    assert run("train", "--arch", "own:trained", *QUICK, "-o", "trained.safetensors").code == 0
    ran = run("train", "--arch", "own:mistaken", "-o", "no.safetensors")
    assert ran.code == 2
    assert "says fitted=False" in ran.err


@pytest.mark.parametrize("arch", ["logreg", "svm", "svm:kernel=rbf", "own:nearest_mean"])
def test_what_scikit_learn_fits_and_has_gradients_may_stand_in(arch, run, own, model, monkeypatch):
    command = ["attack", "--method", "substitute", "--arch", arch, "--rounds", "3", "--limit", "30", "--attack", "pgd:steps=5"]
    ran = run(*command, "-o", "whole.h5")
    assert ran.code == 0, ran.err
    allow = ["--allow", arch] if ":" in arch else []
    told = run("evaluate", "whole.h5", "--model", "model.safetensors", "--json", "--metric", "success", *allow)
    assert json.loads(told.out)["rows"][0]["value"] > 0.3, "what fools it fools the model, often"
    metadata = model_file.read("whole.substitute.safetensors").metadata
    assert (metadata["arch"]["name"], metadata["fitted"]["queries"]) == (
        arch if arch.startswith("own") else arch.split(":")[0],
        600,
    )
    monkeypatch.setattr(atomic, "calls", Interrupting())
    assert run(*command, "-o", "cut.h5").code == 130
    monkeypatch.setattr(atomic, "calls", atomic.Calls())
    assert run(*command, "-o", "cut.h5").code == 0
    for name in ("{}.substitute.safetensors", "{}.h5"):
        assert Path(name.format("cut")).read_bytes() == Path(name.format("whole")).read_bytes()


@pytest.mark.parametrize("arch", ["tree", "forest", "knn", "own:closed"])
def test_what_has_no_gradient_may_not_and_the_reason_is_said(arch, run, own, model):
    ran = run("attack", "--method", "substitute", "--arch", arch, "--limit", "30")
    assert ran.code == 2
    assert "no gradient leads from its answers to the image" in ran.err


def test_passes_of_what_is_fitted_are_refused(run, model):
    ran = run("attack", "--method", "substitute", "--arch", "logreg", "--epochs", "3", "--limit", "30")
    assert ran.code == 2
    assert "has no option --epochs" in ran.err


@pytest.mark.parametrize("name", ["carried", "fetched", "scans"])
def test_a_data_set_of_ones_own_is_named_like_any_other(name, run, own):
    data, allow = f"own:{name}", ["--allow", f"own:{name}"]
    assert run("train", "--data", data, "--arch", "softmax", "--epochs", "9").code == 0
    assert model_file.read("model.safetensors").metadata["data"]["name"] == data
    assert run("evaluate", "--data", f"{data}:val", "--model", "model.safetensors").code == 0
    assert run("attack", "--limit", "5", "--steps", "2", *allow).code == 0
    replay = run("show", "adversarial.h5").out
    assert data in replay
    sized = run("evaluate", "--data", data, "--image-size", "8", "--model", "model.safetensors")
    assert sized.code == (3 if name == "scans" else 2)
    assert ("images are 1x8x8" if name == "scans" else "this data set has its size") in sized.err


def test_a_file_that_names_a_data_set_of_ones_own_runs_nothing_unasked(run, own, monkeypatch):
    assert run("train", "--data", "own:carried", "--arch", "softmax", "--epochs", "1").code == 0
    monkeypatch.setattr(discovery, "PERMITTED", set())
    ran = run("attack", "--limit", "5", "--steps", "2")
    assert ran.code == 3
    assert "--allow own:carried" in ran.err
    assert run("evaluate", "--data", "own:opened", "--model", "model.safetensors").code == 2
    assert "no such data set" in run("evaluate", "--data", "mnist:tset", "--model", "model.safetensors").err
