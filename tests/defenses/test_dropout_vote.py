"""Dropout voting: what is random, what is not, and against which examples it helps."""

import copy
import json
from math import log

import pytest
import torch
from torch import nn

from advcli.catalog import discovery
from advcli.defenses.dropout_detector import SPREAD
from advcli.defenses.dropout_vote import DropoutVoting
from advcli.errors import CommandError
from advcli.networks.classifier import Classifier, Dropout
from advcli.networks.voting import stochastic_logits
from advcli.numerics.rng import SampleRNG

DRAWS = SampleRNG(0, torch.arange(6))


def classifier(rate=0.5, **kinds):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), Dropout(rate), nn.Linear(128, 4)]
    return Classifier(nn.Sequential(*layers), [0.0], [1.0], shape=(1, 4, 4), classes=4)


def pictures(count=6):
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def passes_by_hand(model, x, count, rate):
    """The votes of passes that are taken one after the other, with masks of their own."""
    net, votes = model.network, torch.zeros(len(x), 4)
    inner = net[:4].eval()(x)
    for k in range(count):
        draws = SampleRNG(0, torch.arange(len(x)), ("dropout", "0"), turn=torch.full((len(x),), k))
        kept = draws.chance(1 - rate, 128) / (1 - rate)
        votes[torch.arange(len(x)), net[5](inner * kept).argmax(1)] += 1
    return votes


@pytest.mark.parametrize("rate", [None, 0.2, 0.9])
def test_it_counts_the_classes_of_so_many_passes(rate):
    model, x = classifier().eval(), pictures()
    votes = passes_by_hand(model, x, 30, rate or 0.5)
    found = DropoutVoting(model, 30, rate)(x, DRAWS)
    assert torch.equal(found.argmax(1), votes.argmax(1))
    assert len(votes.argmax(1).unique()) > 1, "a vote of one class would show little"


def test_a_draw_goes_to_the_lowest_class():
    class Alternating(nn.Module):
        def forward(self, x):
            one_hot = nn.functional.one_hot(torch.arange(len(x)) % 2 + 1, 4)
            return 9.0 * one_hot + 0 * x.flatten(1).sum(1, keepdim=True)

    model = Classifier(nn.Sequential(Dropout(0.5), Alternating()), [0.0], [1.0], shape=(1, 4, 4), classes=4)
    assert DropoutVoting(model, 10, None)(pictures(), DRAWS).argmax(1).tolist() == [1] * 6


def test_nothing_but_dropout_leaves_evaluation():
    """Running statistics are the same afterwards, and every flag and rate is as it was."""
    model, x = classifier(), pictures()
    with torch.no_grad():
        model.train()
        model(x, DRAWS)  # statistics that are not the initial ones
    model.eval()
    before = copy.deepcopy(model.state_dict())
    voting = DropoutVoting(model, 20, 0.3).eval()
    voting(x.requires_grad_(), DRAWS).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module.training for module in voting.modules())
    assert model.network[4].rate == 0.5
    with torch.no_grad():
        one, other = (model(x, SampleRNG(seed, torch.arange(6))) for seed in (0, 1))
    assert torch.equal(one, other), "without the vote nothing is random"


def test_it_costs_as_many_forwards_as_passes():
    seen = []
    model = classifier().eval()
    model.network[0].register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    DropoutVoting(model, 50, None)(pictures(), DRAWS)
    assert sum(seen) == 6 * 50


def test_a_decision_does_not_depend_on_the_neighbours():
    model, x = DropoutVoting(classifier().eval(), 25, None), pictures()
    whole = model(x, DRAWS)
    each = torch.cat([model(x[k : k + 1], DRAWS[torch.tensor([k])]) for k in range(6)])
    torch.testing.assert_close(whole, each, atol=1e-4, rtol=1e-4)
    assert torch.equal(whole.argmax(1), each.argmax(1))


def test_a_model_that_never_drops_is_refused():
    with pytest.raises(CommandError, match="no dropout layer"):
        discovery.spec("defense", "dropout-vote").bind({"rate": 0.5})(classifier(rate=0.0))


def test_the_command_line_defends_attacks_verifies_and_refuses(run, model):
    assert run("defend", "--method", "dropout-vote", "--passes", "20").code == 0
    rows = json.loads(run("evaluate", "--data", "digits", "--limit", "200", "--json").out)["rows"]
    plain, voted = (row["value"] for row in rows)
    assert abs(plain - voted) <= 0.01, "clean accuracy within a point of evaluation's"
    assert "spread" in rows[1]
    asked = ("attack", "--method", "pgd", "--model", "defended.safetensors", "--steps", "3", "--eot", "1", "--limit", "6")
    assert run(*asked).code == 0
    assert run("verify", "adversarial.h5").code == 0
    assert run("defend", "adversarial.h5", "--method", "dropout-vote").code == 2
    run("train", "--arch", "softmax", "-o", "softmax.safetensors")
    ran = run("defend", "--method", "dropout-vote", "--model", "softmax.safetensors", "-o", "no.safetensors")
    assert ran.code == 2
    assert "--dropout 0.5" in ran.err


def test_it_helps_against_barely_misclassified_examples_only(run, model):
    """S0-D1: the plurality often returns to the right class where an attack stopped at once, and not where it went on.

    How often depends on the network: on this one some 18 % of all 500 test images, on the paper's more. What is held is
    that the two differ beyond their intervals, and that next to nothing is left of the confident ones.
    """
    run("defend", "--method", "dropout-vote", "--rate", "0.5", "--passes", "50")
    accuracy = {}
    for name, strength in {"minimal": "--early-stop", "confident": "--no-early-stop"}.items():
        asked = ("attack", "--method", "bim", "--target", "next", "--eps", "0.4", "--step-size", "0.01", "--steps", "40")
        ran = run(*asked, strength, "-o", f"{name}.h5")
        assert ran.code == 0, ran.err
        told = run("evaluate", f"{name}.h5", "--model", "defended.safetensors", "--draws", "1", "--json")
        accuracy[name] = next(row for row in json.loads(told.out)["rows"] if row["metric"] == "accuracy")
    assert accuracy["minimal"]["low"] > accuracy["confident"]["high"]
    assert accuracy["minimal"]["value"] > 3 * accuracy["confident"]["value"]
    assert accuracy["confident"]["value"] <= 0.1


def test_the_spread_of_votes_is_worked_out_by_hand():
    votes = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.25, 0.25, 0.5]])
    wanted = {"entropy": [0.0, log(2), 1.5 * log(2)], "share": [0.0, 0.5, 0.5], "classes": [1.0, 2.0, 3.0]}
    for name, (counted, climbed) in SPREAD.items():
        torch.testing.assert_close(counted(votes), torch.tensor(wanted[name]))
        torch.testing.assert_close(climbed(torch.full((1, 4), 0.25)), counted(torch.full((1, 4), 0.25)))


@pytest.mark.parametrize("score", list(SPREAD))
def test_the_detector_scores_the_passes_and_leaves_the_decision_to_the_model(score):
    model, x = classifier().eval(), pictures()
    detector = discovery.spec("defense", "dropout-detector").bind({"passes": 40, "score": score})(model)
    found, scores, _ = detector.score(x.requires_grad_(), DRAWS)
    torch.testing.assert_close(scores, model(x))
    passes = stochastic_logits(detector.one_pass, x, DRAWS.fork("votes"), 40)
    for row, each in zip(found.tolist(), passes.argmax(2), strict=True):
        counts = each.bincount().double()
        shares = counts[counts > 0] / 40
        wanted = {"entropy": -(shares * shares.log()).sum(), "share": 1 - shares.max(), "classes": len(shares)}[score]
        assert row == pytest.approx(float(wanted), abs=1e-5)
    assert (torch.autograd.grad(found.sum(), x)[0] != 0).any(), "an attack has something to climb"


def test_the_votes_disagree_about_barely_misclassified_examples_and_agree_on_confident_ones(run, folder):
    """S0-D1b: "much greater variability" is a property of images at the boundary."""
    run("train", "--arch", "cnn", "--dropout", "0.5")
    assert run("defend", "--method", "dropout-detector", "--rate", "0.5", "-o", "d.safetensors").code == 0
    area = {}
    for name, strength in {"minimal": "--early-stop", "confident": "--no-early-stop"}.items():
        run("attack", "--method", "grad", "--target", "next", strength, "--limit", "200", "-o", f"{name}.h5")
        rows = json.loads(run("evaluate", "--model", "d.safetensors", f"{name}.h5", "--metric", "roc", "--json").out)["rows"]
        area[name] = next(row["value"] for row in rows if row["metric"] == "auc")
    assert area["minimal"] > 0.8
    assert area["confident"] < 0.5, "below chance: surer than clean images"
    assert run("attack", "--method", "pgd", "--steps", "3", "--eot", "2", "--model", "d.safetensors", "--limit", "6").code == 0
    assert run("verify", "adversarial.h5").code == 0
