"""Attacks on defended models: no weaker than an attack that knows of no defense, whatever the defense hides or draws."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from advcli.catalog import discovery
from advcli.files.imageset_reader import ImageSet
from advcli.networks.rejection import Rejecting, rejects
from advcli.numerics.rng import Purpose, SampleRNG
from advcli.search import job
from conftest import Halfspace, attacked, near_the_plane

GRADIENT = [
    spec.name for spec in discovery.specs("attack")
    if spec.traits.access == "gradient" and spec.traits.has("images") and not spec.traits.has("fits") and not spec.traits.has("stages")
    and spec.traits.targeted != "only" and spec.traits.norms != ("none",)
]  # fmt: skip


class Masked(nn.Module):
    """The same answers, and nothing to climb."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, draws=None):
        return self.model(x.detach()) + 0 * x.sum()


class Ridge(Rejecting):
    """Refuses what lies near the boundary of the classes; the score is highest shortly behind it, on both sides."""

    def __init__(self, model, peak=0.5):
        super().__init__(model)
        self.peak = peak
        self.adopt({"threshold": 0.5, "unit": 0.1})

    def suspicion(self, x, scores, draws):
        return 1 - ((scores[:, 1] - scores[:, 0]).abs() - self.peak).abs() / 2


class Shifted(nn.Module):
    """Answers that are shifted by what is drawn."""

    def __init__(self, model, spread):
        super().__init__()
        self.model, self.spread = model, spread

    def forward(self, x, draws):
        shift = self.spread * draws.fork("noise").normal(1)
        return self.model(x) + torch.cat([-shift, shift], 1)


@pytest.mark.parametrize("method", GRADIENT)
def test_what_fools_the_model_without_its_defenses_is_tried_as_well(method, halfspace):
    x = near_the_plane(20)
    label, hidden = halfspace(x).argmax(1), Masked(halfspace)
    options = {"random_start": False} if discovery.spec("attack", method).option("random_start") else {}
    alone = attacked(method, hidden, x, label, options=options, early_stop=False)
    static = attacked(method, halfspace, x, label, options=options, early_stop=False)
    both = attacked(method, hidden, x, label, options=options, early_stop=False, undefended=halfspace)
    assert not alone["success"].any()
    assert static["success"].all()
    np.testing.assert_array_equal(both["images"], static["images"])
    assert both["success"].all()
    assert (both["gradients"] == alone["gradients"] + static["gradients"]).all(), "it is paid for"


def test_every_stage_of_a_cascade_is_tried_on_the_model_without_its_defenses(halfspace):
    """At the least budget that breaks an image a random start does not: only a gradient finds the way."""
    x = near_the_plane(6)
    for k, far in enumerate(halfspace.distance(x, "linf").tolist()):
        one, eps = x[k : k + 1], f"{1.01 * far:.9f}"
        label, hidden = halfspace(one).argmax(1), Masked(halfspace)
        alone = attacked("autoattack", hidden, one, label, eps, options={"queries": 0})
        both = attacked("autoattack", hidden, one, label, eps, options={"queries": 0}, undefended=halfspace)
        assert not alone["success"].any()
        assert both["success"].all()
        assert both["stage"] == 0, "the first that works there"


def test_what_is_proposed_without_a_detector_knows_of_no_rejection():
    """The model without its defenses has no logit of a rejection; the verdict has."""
    plain = Halfspace(64).requires_grad_(False).eval()
    hidden = Masked(Ridge(plain)).eval()
    x = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    x, label = x[keep := hidden(x).argmax(1) < 2], hidden(x).argmax(1)[keep]
    assert len(x) > 5
    alone = attacked("pgd", hidden, x, label, rejects=True, options={"random_start": False})
    both = attacked("pgd", hidden, x, label, rejects=True, options={"random_start": False}, undefended=plain)
    assert not alone["success"].any()
    assert both["success"].all()
    assert (both["prediction"] == 1 - label.numpy()).all()


def test_an_image_that_is_won_already_is_not_attacked_again(halfspace):
    x = near_the_plane(8)
    label = halfspace(x).argmax(1)
    plain = attacked("pgd", halfspace, x, label)
    both = attacked("pgd", halfspace, x, label, undefended=halfspace)
    for name in plain:
        np.testing.assert_array_equal(plain[name], both[name])


@pytest.mark.parametrize(("words", "there"), [
    (["--model", "defended.safetensors", "--method", "pgd", "--steps", "2"], True),
    (["--model", "defended.safetensors", "--method", "pgd", "--steps", "2", "--static"], False),
    (["--model", "defended.safetensors", "--method", "square", "--max-queries", "5"], False),
    (["--model", "model.safetensors", "--method", "pgd", "--steps", "2"], False),
])  # fmt: skip
def test_a_set_says_where_both_models_were_attacked(run, model, words, there):
    """Who sees only answers cannot take a defense away."""
    assert run("defend", "--method", "gaussian").code == 0
    ran = run("attack", *words, "--limit", "5", "-o", "a.h5")
    assert ran.code == 0, ran.err
    with ImageSet("a.h5") as made:
        assert ("static_proposals" in made.header) is there
    assert run("verify", "a.h5").code == 0


@pytest.mark.parametrize("method", ["cw", "deepfool", "fab"])
def test_a_search_without_a_budget_goes_through_a_detector_that_is_surest_where_the_classes_meet(method):
    """Steps across the boundary and steps out of sight undo each other on the ridge."""
    model = Ridge(Halfspace(64).requires_grad_(False)).eval()
    x = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    x, label = x[keep := model(x).argmax(1) < 2], model(x).argmax(1)[keep]
    assert len(x) > 5
    made = attacked(method, model, x, label, rejects=rejects(model), early_stop=method != "cw")
    assert made["success"].all()


@pytest.mark.parametrize(("method", "steps"), [("cw", 10), ("deepfool", 10), ("hopskipjump", 4)])
def test_a_close_point_is_pushed_on_until_the_draws_of_the_verdict_take_it(method, steps):
    """The nearest point is won on average; what one verdict draws may ask for more."""
    plain = Halfspace(64).requires_grad_(False).eval()
    x = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    label = plain(x).argmax(1)
    lead = (plain(x)[:, 1] - plain(x)[:, 0]).abs() / 2
    model = Shifted(plain, 0.5 * float(lead.mean()))
    shift = model.spread * SampleRNG(0, torch.arange(len(x)), (Purpose.VERDICT,)).fork("noise").normal(1)[:, 0]
    against = torch.where(label == 0, -shift, shift)
    made = attacked(method, model, x, label, options={"steps": steps}, random_model=True, eot=5)
    able = ((against.abs() < 0.5 * lead) & (lead > model.spread)).numpy()
    assert ((against > 0.15 * lead).numpy() & able).sum() > 5, "some ask for more than a tenth"
    assert made["success"][able].all()


def test_what_one_draw_has_wrong_is_attacked_like_the_others(run, model):
    """Another draw may have it right: left as it is, it would count as robust."""
    assert run("defend", "--method", "smoothing", "--sigma", "0.6", "--samples", "1").code == 0
    ran = run("attack", "--model", "defended.safetensors", "--eps", "0.2", "--steps", "5", "--eot", "2", "--limit", "60")
    assert ran.code == 0, ran.err
    with ImageSet("adversarial.h5") as made:
        moved = (made.rows("images", 0, 60) != made.pick("originals", made.column("original"))).flatten(1).any(1).numpy()
        wrong = made.column("clean_prediction") != made.column("labels")
        assert 3 < wrong.sum() < 40
        assert moved[wrong].all()
        assert not made.column("success")[wrong].any(), "it had nothing to lose"
    assert run("verify", "adversarial.h5").code == 0
    told = run("evaluate", "adversarial.h5", "--model", "defended.safetensors", "--metric", "accuracy", "--json")
    assert json.loads(told.out)["rows"]


def test_a_point_holds_in_more_draws_than_the_one_that_judges_first(monkeypatch):
    """The search would stop where one draw is fooled; fresh draws show what that point is worth."""
    plain = Halfspace(64).requires_grad_(False).eval()
    x = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    label = plain(x).argmax(1)
    model = Shifted(plain, 0.5)
    fooled = {}
    for further in (0, job.FURTHER_DRAWS):
        monkeypatch.setattr(job, "FURTHER_DRAWS", further)
        made = attacked("pgd", model, x, label, "0.3", options={"random_start": False}, random_model=True)
        points = torch.from_numpy(made["images"])
        fresh = [model(points, SampleRNG(1, torch.arange(len(x)), (str(k),))).argmax(1) != label for k in range(50)]
        fooled[further] = float(torch.stack(fresh).float().mean())
    assert fooled[0] < 0.9
    assert fooled[job.FURTHER_DRAWS] > 0.97
