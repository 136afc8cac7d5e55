"""The attack inside training: a network at rest, its ball, targets and labels, the early stop, its word, refusals."""

import numpy as np
import pytest
import torch
from torch import nn

from advcli.catalog import discovery
from advcli.networks.classifier import Dropout
from advcli.numerics.balls import Ball
from advcli.numerics.rng import SampleRNG
from advcli.training.inner_attack import inner_attack
from conftest import Halfspace, near_the_plane
from recipe_losses import DRAWS, LABEL, QUICK, loss_of, score_of


class Watched(nn.Module):
    """Has all that has a mode, and remembers in which mode it was asked."""

    def __init__(self):
        super().__init__()
        self.norm, self.still, self.drop, self.last = nn.BatchNorm2d(3), nn.BatchNorm2d(3), Dropout(0.5), nn.Linear(12, 2)
        self.still.eval()
        self.last.bias.requires_grad_(False)
        self.asked = []

    def forward(self, x, draws=None):
        self.drop.draws = draws
        self.asked.append((self.training, self.drop.training, any(p.requires_grad for p in self.parameters())))
        return self.last(self.drop(self.still(self.norm(x))).flatten(1))


@pytest.mark.parametrize("name", ["adversarial", "trades"])
def test_the_attack_meets_a_network_at_rest_and_leaves_it_as_it_was(name):
    model, x = Watched(), near_the_plane()
    loss_of(name, model, x, LABEL, **({"against": "pgd:steps=3"} if name == "adversarial" else {"steps": 3}))
    *crafting, first, second = model.asked
    assert set(crafting) == {(False, False, False)}
    assert first == second == (True, True, True)
    assert int(model.norm.num_batches_tracked) == 2  # the two terms of the loss, no step of the attack
    assert [m.training for m in (model, model.norm, model.still, model.drop)] == [True, True, False, True]
    assert [p.requires_grad for p in model.last.parameters()] == [True, False]


INSIDE = [spec.name for spec in discovery.specs("attack") if spec.traits.kind in ("budget", "direction") and spec.traits.nestable]


@pytest.mark.parametrize("name", INSIDE)
def test_every_budgeted_attack_stays_in_its_ball_inside_training(name):
    for target in ("", ",target=random")[: 1 + bool(discovery.spec("attack", name).traits.targeted)]:
        one = inner_attack(f"{name}:eps=0.1{target}", 3)
        model, x = Halfspace(), torch.rand(6, 3, 2, 2, generator=torch.Generator().manual_seed(0))
        before = x.clone()
        found = one.attacked(model, x, LABEL, DRAWS)
        assert torch.equal(x, before)
        assert found.min() >= 0
        assert found.max() <= 1
        if one.norm != "raw":
            assert Ball(x, torch.full((6,), 0.1), one.norm).holds(found).all()
        alone = one.attacked(model, x[2:4], LABEL[2:4], DRAWS[torch.tensor([2, 3])])
        assert torch.allclose(alone, found[2:4], atol=1e-6)
        assert torch.equal(one.attacked(model, x, LABEL, DRAWS, share=0.0), x)


def test_one_step_from_a_random_start_covers_the_ball_and_falls_nowhere_short():
    """R+FGSM: from any start a step of 1.25 eps ends between 0.25 eps and eps along the slope."""
    model, x = Halfspace(), near_the_plane()
    move = inner_attack("pgd:eps=0.1,steps=1,step_size=1.25*eps", 1).attacked(model, x, LABEL, DRAWS) - x
    uphill = torch.where(LABEL == 1, -1, 1)[:, None] * model.w.detach().sign()
    length = (move.flatten(1) * uphill / 0.1).flatten()
    assert length.min() > 0.25 - 1e-4
    assert length.max() < 1 + 1e-4
    assert length.min() < 0.4
    assert 0.5 < float((length > 0.999).double().mean()) < 0.75  # starts in the upper 5/8 are cut at the ball: 62.5 %


class Three(nn.Module):
    """Three classes: the first two pixels and nothing."""

    def forward(self, x, draws=None):
        flat = x.flatten(1)
        return torch.stack([flat[:, 0], flat[:, 1], torch.zeros(len(x))], 1)


def test_targets_and_labels_of_an_opponent_mean_what_they_mean_to_the_verb():
    x, label = torch.tensor([[0.6, 0.5], [0.5, 0.6]]).view(2, 1, 1, 2), torch.tensor([0, 0])
    rng = SampleRNG(0, torch.arange(2))

    def step(words):
        return ((inner_attack(f"fgsm:eps=0.1,{words}", 1).attacked(Three(), x, label, rng) - x) / 0.1).round().flatten(1).tolist()

    assert step("objective=logit") == [[-1, 0], [-1, 0]]  # leave class 0
    assert step("objective=logit,label=pred") == [[-1, 0], [0, -1]]  # the second one is taken for class 1
    assert step("objective=logit,target=1") == [[0, 1], [0, 1]]
    assert step("objective=logit,target=0") == [[0, 0], [0, 0]]  # there already
    assert step("objective=logit,target=next") == [[0, 1], [0, 1]]
    assert step("objective=logit,target=least-likely") == [[0, 0], [0, 0]]  # class 2, whose logit has no slope
    many = torch.full((400, 1, 1, 2), 0.5)
    one = inner_attack("fgsm:eps=0.1,objective=logit,target=random", 1)
    drawn = one.attacked(Three(), many, torch.zeros(400, dtype=torch.int64), SampleRNG(0, torch.arange(400))) - many
    assert (drawn[:, 0, 0, 0] == 0).all()  # never its own class
    assert 150 < int((drawn[:, 0, 0, 1] > 0.05).sum()) < 250  # one of the two others


def test_an_early_stop_leaves_an_image_at_the_boundary():
    model, x = Halfspace(), near_the_plane()
    label = (score_of(model, x) > 0).astype(int)
    full = inner_attack("pgd:eps=0.2,steps=10,random_start=false", 1).attacked(model, x, torch.tensor(label), DRAWS)
    stopped = inner_attack("pgd:eps=0.2,steps=10,random_start=false,early_stop=true", 1)
    near = stopped.attacked(model, x, torch.tensor(label), DRAWS)
    assert (np.abs(score_of(model, near)) < np.abs(score_of(model, full))).all()
    assert ((score_of(model, near) > 0) != label).all()


def test_an_attack_that_needs_a_target_takes_random_ones():
    assert inner_attack("dgsm", 1).target == "random"
    assert inner_attack("dgsm:target=next", 1).spelled == "dgsm:eps=0.3,target=next,early_stop=false,steps=40,step_size=eps/10"


def test_the_word_of_an_opponent_is_written_out_in_full():
    word = inner_attack("pgd:steps=7", 3).spelled
    assert word.startswith("pgd:eps=8/255,label=true,early_stop=false,")
    assert "steps=7" in word
    assert "random_start=true" in word
    assert inner_attack(word, 1).spelled == word
    assert inner_attack("pgd", 1).eps.text == "0.3"
    assert (
        inner_attack("bim:eps=0.1,target=3", 1).spelled
        == "bim:eps=0.1,target=3,label=true,early_stop=false,step_size=1/255,objective=xent"
    )


@pytest.mark.parametrize(
    "word",
    ["pdg", "pgd:eps", "pgd:eps=0.1,0.2", "pgd:eps=0:0.3:0.1", "pgd:size=3", "pgd:steps=0", "pgd:target=none", "pgd:target=all",
     "fgsm:early_stop=true", "noise:early_stop=true", "noise:target=1", "pgd:label=pred,target=1", "pgd:early_stop=maybe", "nosuch:attack", "pgd:eps=-1"],
)  # fmt: skip
def test_an_opponent_that_cannot_be_is_refused_before_anything_is_read(word, run, folder):
    ran = run(*QUICK, "--recipe", "adversarial", "--data", "nowhere", "--against", word)
    assert ran.code == 2, ran.err
    assert not list(folder.iterdir())


def test_a_target_beyond_the_classes_is_refused(run, folder):
    ran = run(*QUICK, "--recipe", "adversarial", "--against", "fgsm:target=10")
    assert ran.code == 2
    assert "0 to 9" in ran.err
