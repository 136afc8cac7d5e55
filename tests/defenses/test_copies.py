"""How often a stack asks its network for one image: said by every defense, and bounded for the whole stack."""

import time

import pytest
import torch
from torch import nn

from advcli.catalog import discovery
from advcli.networks import build, model_file
from advcli.networks.classifier import Classifier, Dropout
from advcli.numerics.rng import SampleRNG

SHAPE = (1, 8, 8)
DRAWS = SampleRNG(0, torch.arange(3))
SPECS = [pytest.param(spec, id=spec.name) for spec in discovery.specs("defense")]


def counted() -> tuple[Classifier, list[int]]:
    """A classifier that drops, and the numbers of images that went through it."""
    model = Classifier(nn.Sequential(nn.Flatten(), Dropout(0.5), nn.Linear(64, 4)), [0.0], [1.0], shape=SHAPE, classes=4).eval()
    seen: list[int] = []
    model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    return model, seen


def around(spec, model: nn.Module, **options: object) -> nn.Module:
    members = [counted()[0], counted()[0]] if spec.traits.members else []
    return build.wrap(spec.bind(options), model, members, SHAPE, 4).eval()


@pytest.mark.parametrize("spec", SPECS)
def test_a_defense_says_how_often_it_asks(spec):
    """One that asks more often than it says could be stacked until no answer ever comes."""
    model, seen = counted()
    whole = around(spec, model)
    whole(torch.rand(3, *SHAPE), DRAWS)
    seen.clear()  # one that looks at features has found its layers by a trial run
    whole(torch.rand(3, *SHAPE), DRAWS)
    assert sum(seen) == 3 * build.forwards(whole) / (3 if spec.traits.members else 1)


def test_copies_multiply_through_the_stack_and_members_add():
    spec = {name: discovery.spec("defense", name) for name in ("dropout-vote", "smoothing", "vote", "squeeze-detector")}
    inner = around(spec["dropout-vote"], counted()[0], passes=7)
    assert build.forwards(inner) == 7
    both = around(spec["smoothing"], inner, samples=11)
    assert build.forwards(both) == 77
    assert build.forwards(around(spec["vote"], both)) == 79
    assert build.forwards(around(spec["squeeze-detector"], both, squeezers="bits:1,bits:2,bits:3")) == 4 * 77


def test_what_anybody_would_build_is_never_refused():
    high = around(discovery.spec("defense", "smoothing"), counted()[0], samples=100_000)
    assert build.forwards(around(discovery.spec("defense", "squeeze-detector"), high)) == 300_000
    spec = discovery.spec("defense", "dropout-vote")
    assert build.forwards(around(spec, around(spec, around(spec, counted()[0])))) == 50**3


def test_eight_votes_around_each_other_are_refused_by_defend_and_by_whoever_opens_them(run, folder):
    assert run("train", "--dropout", "0.5", "--epochs", "1", "--limit", "100", "-o", "0.safetensors").code == 0
    begin = time.monotonic()
    vote = ["defend", "--method", "dropout-vote", "--passes", "2000", "--model"]
    assert run(*vote, "0.safetensors", "-o", "1.safetensors").code == 0
    ran = run(*vote, "1.safetensors", "-o", "2.safetensors")
    assert ran.code == 2
    assert "need 4000000 forward passes" in ran.err
    assert not (folder / "2.safetensors").exists()
    opened = model_file.read("1.safetensors")
    metadata = {**opened.metadata, "defenses": opened.defenses[:1] * 8}
    forged = {**metadata, "weights": model_file.weights_digest(opened.tensors)}
    forged["digest"] = model_file.metadata_digest(forged)
    (folder / "8.safetensors").write_bytes(model_file.serialise(forged, opened.tensors))
    for words in (
        ["attack", "--limit", "1"],
        ["evaluate", "--data", "digits", "--limit", "1"],
        ["defend", "-o", "9.safetensors"],
    ):
        ran = run(*words, "--model", "8.safetensors")
        assert ran.code == 3, ran.err
        assert "forward passes" in ran.err
    assert run("verify", "8.safetensors").code == 3
    assert time.monotonic() - begin < 60


def test_a_tower_of_defenses_is_refused(run, folder):
    assert run("train", "--arch", "softmax", "--epochs", "1", "--limit", "100").code == 0
    assert run("defend", "--method", "squeeze").code == 0
    opened = model_file.read("defended.safetensors")
    for count, code in ((64, 0), (65, 3), (5000, 3)):
        forged = {**opened.metadata, "defenses": opened.defenses * count}
        forged["digest"] = model_file.metadata_digest(forged)
        (folder / "tower.safetensors").write_bytes(model_file.serialise(forged, opened.tensors))
        ran = run("evaluate", "--data", "digits", "--limit", "2", "--model", "tower.safetensors")
        assert ran.code == code, ran.err
    ran = run("evaluate", "--data", "digits", "--limit", "2", "--model", "defended.safetensors")
    assert ran.code == 0
