"""Logits that are far apart are divided by a constant where a softmax is taken: no scale of the logits hides a gradient."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from advcli.files.imageset_reader import ImageSet
from advcli.numerics.balls import unit
from advcli.search.goal import Goal
from advcli.search.job import Job
from advcli.search.probe import FAR, NEAR, SEEN, Probe
from masked_networks import disguised


def standing(path):
    with ImageSet(Path(path)) as opened:
        return int((opened.column("prediction") == opened.column("labels")).sum()), opened.header


def plain_and_disguised(run, model, name, words, never="Traceback"):
    """How many images stand, and the header, after the same attack on the model and on its disguise."""
    disguised(name, model, Path(f"{name}.safetensors"))
    eps = [] if "--eps" in words else ["--eps", "0.1"]
    for one in ("model", name):
        ran = run("attack", "--model", f"{one}.safetensors", "--limit", "60", *eps, *words.split(), "-o", f"{one}.h5")
        assert ran.code == 0, ran.err
        assert never not in ran.err
    return standing("model.h5"), standing(f"{name}.h5")


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--method apgd",
        "--method fgsm",
        "--method mim",
        "--norm l2 --eps 1",
        "--target next",
        "--objective prob",
        "--method universal",
    ],
)
def test_a_saturated_network_falls_like_the_plain_one_with_nothing_told(run, model, words):
    (plain, header), (masked, told) = plain_and_disguised(run, model, "saturated", words)
    assert "scale" not in header, "an ordinary network is searched as it is"
    assert told["scale"] > 1000
    assert abs(plain - masked) <= 2
    assert plain < 57, "else this says nothing"


def test_the_scale_is_said_and_warned_of(run, model):
    disguised("saturated", model, Path("masked.safetensors"))
    ran = run("attack", "--model", "masked.safetensors", "--limit", "40")
    assert "warning: WARN saturation" in ran.err
    _, header = standing("adversarial.h5")
    kept = {one["check"]: one for one in header["checks"]}
    assert f"divided by {header['scale']:g}" in kept["saturation"]["found"]
    assert kept["zero-gradients"]["status"] == "PASS"
    assert json.loads(run("show", "adversarial.h5", "--json").out)[0]["header"]["scale"] == header["scale"]


@pytest.mark.parametrize("words", ["", "--method apgd --steps 20", "--norm l2 --eps 1"])
def test_a_network_of_tiny_logits_falls_like_the_plain_one(run, model, words):
    (plain, _), (faint, told) = plain_and_disguised(run, model, "faint", words, never="FAIL")
    assert told["scale"] < 0.1
    assert abs(plain - faint) <= 2
    assert plain < 57, "else this says nothing"


def probe(scale: float) -> Probe:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    with torch.no_grad():
        model[1].weight.copy_(scale * torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]))
        model[1].bias.zero_()
    x = torch.tensor([[1.0, 0.0, 0.5, 0.0]]).view(1, 1, 2, 2).repeat(3, 1, 1, 1)

    class Plain(nn.Module):
        def forward(self, x, draws=None):
            return model(x)

    job = Job(Plain(), None, "linf", (), None, "true", 0, torch.device("cpu"))
    return Probe(job, x, torch.tensor([0, 0, 1]), torch.arange(3))


def test_the_scale_is_the_median_gap_of_the_attacked_images_over_what_a_softmax_sees():
    assert probe(1.0).gap == 0.5
    assert probe(2 * FAR).scale == 1, "not beyond what a softmax sees"
    assert probe(2 * NEAR).scale == 1, "nor below it"
    assert probe(1.98 * NEAR).scale == pytest.approx(0.99 * NEAR / SEEN, rel=5e-3)
    assert probe(0.0).scale == 1, "of logits that are all the same nothing can be said"
    assert probe(2.02 * FAR).scale == pytest.approx(1.01 * FAR / SEEN, rel=5e-3)


@pytest.mark.parametrize("objective", ["xent", "prob"])
def test_only_what_takes_a_softmax_is_scaled(objective):
    logits, label = torch.tensor([[300.0, 100.0, 0.0]]), torch.tensor([0])
    scaled = Goal(label, scale=100.0)
    assert torch.equal(scaled.loss(objective)(logits), Goal(label).loss(objective)(logits / 100))
    for other in ("margin", "dlr", "logit"):
        assert torch.equal(scaled.loss(other)(logits), Goal(label).loss(other)(logits))
    assert scaled[torch.tensor([True])].scale == 100


def test_a_faint_gradient_has_a_direction():
    g = torch.tensor([[3.0, 4.0], [3e-30, 4e-30], [0.0, 0.0]])
    assert torch.allclose(unit(g, "l2"), torch.tensor([[0.6, 0.8], [0.6, 0.8], [0.0, 0.0]]))
