"""A metric and a certified defense of a user's own, from files beside the data, through the command line."""

import json
from pathlib import Path

import pytest

from advcli.datasets.digits import digits

METRICS = '''
"""How often the model says seven."""

from typing import Annotated

from advcli.extend import AttackedVerdicts, Figures, Param, Verdicts, metric


@metric(of="any")
def sevens(verdicts: Verdicts, *, which: Annotated[int, Param("The class.", low=0)] = 7) -> Figures:
    yield verdicts.share("sevens", verdicts.predictions == which)


@metric(of="adversarial")
def moved(verdicts: AttackedVerdicts) -> Figures:
    yield verdicts.share("moved", verdicts.predictions != verdicts.clean)


@metric(of="adversarial")
def greedy(verdicts: AttackedVerdicts) -> Figures:
    yield verdicts.share("greedy", verdicts.distance.linf > 0)


@metric(of="clean", needs=("noise",))
def agreement(verdicts: Verdicts) -> Figures:
    votes = verdicts.noise.votes("agreement", 16)
    assert verdicts.noise.sigma == 0.125
    yield verdicts.share("agreement", votes.max(1) == 16)
'''

DEFENSES = '''
"""Votes of noisy copies, of one's own."""

from typing import Annotated

import torch

from advcli.extend import Certified, Param, SampleRNG, defense


class Voted(Certified):
    def __init__(self, model, sigma):
        super().__init__()
        self.model, self.sigma = model, sigma

    def forward(self, x, draws=None):
        return self.model(x, draws)

    def votes(self, x, draws, copies):
        found = 0
        for k in range(copies):
            noisy = x + self.sigma * draws.fork("copy", k).normal(*x.shape[1:])
            logits = self.model(noisy, draws)
            found = found + torch.nn.functional.one_hot(logits.argmax(1), logits.shape[1])
        return found


@defense(family="randomized", gradient="exact", filters=False)
def voted(model, *, sigma: Annotated[float, Param("Noise.", low=0)] = 0.125):
    return Voted(model, sigma)
'''


@pytest.fixture
def own(model, monkeypatch):
    Path("mymetrics.py").write_text(METRICS)
    Path("mydefenses.py").write_text(DEFENSES)
    monkeypatch.syspath_prepend(Path.cwd())


def rows(ran):
    assert ran.code == 0, ran.err
    return json.loads(ran.out)["rows"]


def test_a_metric_of_ones_own_is_measured_with_its_options(run, own):
    found = rows(
        run("evaluate", "--data", "digits", "--metric", "mymetrics:sevens", "--which", "3", "--metric", "accuracy", "--json")
    )
    share, accuracy = found
    assert share["metric"] == "sevens"
    assert share["n"] == accuracy["n"] == 500
    assert abs(share["k"] - (digits("test").labels == 3).sum()) <= 500 - accuracy["k"]
    assert "sevens" in run("evaluate", "--data", "digits", "--metric", "mymetrics:sevens").out


def test_a_metric_of_adversarial_sets_sees_the_originals_and_nothing_that_it_did_not_ask_for(run, own):
    run("attack", "--method", "fgsm", "--eps", "0.2", "--limit", "30")
    moved, success = rows(run("evaluate", "adversarial.h5", "--metric", "mymetrics:moved", "--metric", "success", "--json"))
    assert moved["k"] >= success["k"] > 0
    ran = run("evaluate", "adversarial.h5", "--metric", "mymetrics:greedy")
    assert ran.code == 2
    assert 'write @metric(..., needs=("distance",))' in ran.err
    assert "needs an adversarial set" in run("evaluate", "--data", "digits", "--metric", "mymetrics:moved").err


def test_a_certified_defense_of_ones_own_gives_noise_votes(run, own):
    assert run("defend", "--method", "mydefenses:voted", "-o", "own.safetensors").code == 0
    words = ["--data", "digits", "--limit", "20", "--model", "own.safetensors", "--allow", "mydefenses:voted", "--json"]
    (agreement,) = rows(run("evaluate", *words, "--metric", "mymetrics:agreement"))
    assert agreement["n"] == 20
    assert agreement["k"] > 0
    certified = rows(run("evaluate", *words, "--metric", "certified", "--certify-samples", "64", "--radii", "0,0.05"))
    assert [row["metric"] for row in certified[:2]] == ["certified", "certified"]
    assert certified[0]["k"] >= certified[1]["k"] > 0
    assert certified[0]["threat"]["sigma"] == 0.125
    ran = run("evaluate", "--data", "digits", "--metric", "mymetrics:agreement", "--model", "model.safetensors")
    assert ran.code == 3
    assert "needs smoothing as the outermost defense" in ran.err
