"""Free training, MART and AWP: each against an independent computation on a half-space, and in the loop."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch import nn

from advcli.files import atomic
from advcli.networks import model_file
from advcli.recipes.mart import boosted_cross_entropy
from advcli.training.worst_weights import at_worst_weights
from conftest import Halfspace, near_the_plane
from faults import Interrupting
from recipe_losses import DRAWS, LABEL, QUICK, entropy, loss_of, score_of

SIGN = np.where(LABEL.numpy() == 1, 1, -1)


@pytest.mark.parametrize("beta", [0.0, 5.0])
def test_mart_is_the_papers_loss_at_the_exact_worst_case(beta):
    model, x = Halfspace(), near_the_plane()
    calm = score_of(model, x)
    moved = calm - SIGN * 0.1 * float(model.w.detach().abs().sum())
    p, q = (softmax(np.stack([-s, s], 1), 1) for s in (calm, moved))
    rows, y = np.arange(6), LABEL.numpy()
    boosted = -np.log(q[rows, y]) - np.log(1 - q[rows, 1 - y])
    expected = boosted + beta * rel_entr(p, q).sum(1) * (1 - p[rows, y])
    found = loss_of("mart", model, x, LABEL, against="pgd:eps=0.1,steps=3", beta=beta)
    np.testing.assert_allclose(found.detach(), expected, rtol=2e-3)


def test_the_margin_term_of_mart_is_finite_where_another_class_is_certain():
    logits = torch.tensor([[0.0, 200.0, -200.0], [1.0, 2.0, 3.0]])
    label = torch.tensor([0, 2])
    q = torch.softmax(logits[1].double(), 0)
    found = boosted_cross_entropy(logits, label)
    assert found[0] == 400
    torch.testing.assert_close(found[1].double(), -q[2].log() - (1 - q[1]).log(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("norm", "step_size"), [("linf", "eps"), ("linf", "0.04"), ("l2", "eps/2")])
def test_free_training_carries_the_perturbation_and_climbs_with_the_gradient_of_the_step(norm, step_size):
    model, x, carried = Halfspace(), near_the_plane(), {}
    length = {"eps": 0.1, "0.04": 0.04, "eps/2": 0.05}[step_size]
    w = model.w.detach().double()
    along = w.sign() if norm == "linf" else w / w.norm()
    reach = 0.0
    for _ in range(4):
        found = loss_of("free", model, x, LABEL, carried=carried, eps="0.1", norm=norm, step_size=step_size)
        score = score_of(model, x) - SIGN * reach * float(along @ w)
        np.testing.assert_allclose(found.detach(), entropy(score, LABEL), rtol=2e-3)
        model.w.grad = None
        found.mean().backward()
        assert model.w.grad.abs().sum() > 0, "the same backward pass moves the weights"
        reach = min(0.1, reach + length)
        wanted = -SIGN[:, None] * reach * along.numpy()
        np.testing.assert_allclose(carried["perturbation"].flatten(1), wanted, atol=1e-6)
    loss_of("free", model, x[:2], LABEL[:2], carried=carried, rng=DRAWS[torch.arange(2)], eps="0.1", norm=norm)
    with torch.no_grad():
        loss_of("free", model, x, LABEL, carried=carried, eps="0.1", norm=norm)


def test_the_perturbed_weights_are_a_share_of_their_length_uphill():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 3))

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x, draws):
            return self.net(x)

    model, x, label = Plain(), torch.rand(8, 1, 4, 4), torch.arange(8) % 3
    before = {name: one.detach().clone() for name, one in model.named_parameters()}

    def loss(answer):
        return nn.functional.cross_entropy(answer(x, None), label, reduction="none")

    found = at_worst_weights(model, 0.05, loss)
    slopes = torch.autograd.grad(loss(model).mean(), list(model.parameters()))
    found.mean().backward()
    got = {name: one.grad.clone() for name, one in model.named_parameters()}
    assert all(torch.equal(one, before[name]) for name, one in model.named_parameters())
    with torch.no_grad():  # by hand: move, take loss and gradient there
        for one, slope in zip(model.parameters(), slopes, strict=True):
            if one.ndim > 1:
                one += 0.05 * one.norm() * slope / slope.norm()
    there = loss(model)
    torch.testing.assert_close(found, there)
    assert there.mean() > nn.functional.cross_entropy(net_of(before, x), label)
    model.zero_grad()
    there.mean().backward()
    for name, one in model.named_parameters():
        torch.testing.assert_close(got[name], one.grad)


def net_of(weights, x):
    """The two layers by their formula."""
    hidden = (x.flatten(1) @ weights["net.1.weight"].T + weights["net.1.bias"]).clamp_min(0)
    return hidden @ weights["net.3.weight"].T + weights["net.3.bias"]


def test_statistics_of_batch_norm_follow_one_pass_only():
    norm = nn.BatchNorm1d(4)

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 4), norm)

        def forward(self, x, draws):
            return self.net(x)

    model, x = Plain(), torch.rand(8, 4)
    at_worst_weights(model, 0.1, lambda answer: answer(x, None).square().sum(1))
    assert int(norm.num_batches_tracked) == 1


WAYS = {
    "free": ["--recipe", "free", "--eps", "0.1", "--replays", "3", "--augment", "crop", "--dropout", "0.2"],
    "mart": ["--recipe", "mart", "--against", "pgd:eps=0.1,steps=2"],
    "awp": ["--recipe", "adversarial", "--against", "pgd:eps=0.1,steps=2", "--awp", "0.01", "--dropout", "0.2"],
    "trades with awp": ["--recipe", "trades", "--eps", "0.1", "--steps", "2", "--awp", "0.01"],
}


@pytest.mark.parametrize("way", WAYS)
def test_an_interrupted_training_ends_with_the_same_bytes(way, run, folder, monkeypatch):
    command = [*QUICK, *WAYS[way]]
    assert run(*command, "-o", "whole.safetensors").code == 0
    monkeypatch.setattr(atomic, "calls", Interrupting())
    assert run(*command, "-o", "cut.safetensors").code == 130
    monkeypatch.setattr(atomic, "calls", atomic.Calls())
    assert "resuming after epoch 2 of 4" in run(*command, "-o", "cut.safetensors").err
    assert Path("cut.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()


def test_free_training_shows_every_image_as_often_as_it_replays_and_is_watched(run, folder):
    assert run(*QUICK, "--recipe", "free", "--eps", "0.1", "--replays", "3").code == 0
    lines = [json.loads(line) for line in Path("model.log.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [600] * 4
    assert all({"fgsm", "pgd-10"} < {*line["attacked"]} for line in lines)
    assert model_file.read("model.safetensors").metadata["made"]["parameters"]["replays"] == 3
    assert run(*QUICK, "--recipe", "free", "--eps", "0.1", "--dry-run").code == 0


def test_awp_and_its_absence_are_two_models_and_none_is_the_old_one(run, folder):
    command = [*QUICK, "--recipe", "adversarial", "--against", "fgsm:eps=0.1"]
    for name, more in (("none", []), ("zero", ["--awp", "0"]), ("some", ["--awp", "0.01"])):
        assert run(*command, *more, "-o", f"{name}.safetensors").code == 0
    none, zero, some = (model_file.read(f"{name}.safetensors").metadata["weights"] for name in ("none", "zero", "some"))
    assert none == zero != some
