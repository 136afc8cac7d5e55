"""Attacks that see less than gradients: what they may know, what they may ask, and how close they come."""

import numpy as np
import pytest
import torch

from advcli.attacks.boundary import around
from advcli.catalog import discovery
from advcli.numerics.rng import SampleRNG
from advcli.search.bisection import bisect_to_boundary, noise
from advcli.search.goal import Goal
from advcli.search.victim import Tally, Victim
from conftest import Halfspace, attacked, near_the_plane
from small_networks import Small, pictures

SPECS = discovery.specs("attack")
BLIND = [pytest.param(spec, id=spec.name) for spec in SPECS if spec.traits.has("queries")]
DEAF = [one for one in BLIND if one.values[0].traits.access == "labels"]


def few(spec):
    """Fewer steps than by default, where a method has steps."""
    return {"steps": 30} if spec.option("steps") and spec.name != "hopskipjump" else {}


@pytest.mark.parametrize("spec", BLIND)
def test_no_gradient_is_needed(spec):
    class Closed(Halfspace):
        def forward(self, x, draws=None):
            assert not torch.is_grad_enabled(), "asked for a gradient"
            return super().forward(x)

    x = near_the_plane()
    made = attacked(spec.name, Closed().eval().requires_grad_(False), x, Halfspace()(x).argmax(1), "0.3", options=few(spec))
    assert made["gradients"].sum() == 0
    assert made["queries"].sum() > 0


@pytest.mark.parametrize("spec", DEAF)
def test_decisions_are_all_that_is_seen(spec):
    """A model that hides its scores gives the same images to the bit."""

    class Mute(Halfspace):
        def forward(self, x, draws=None):
            return torch.nn.functional.one_hot(super().forward(x).argmax(1), 2).float()

    x = near_the_plane()
    label = Halfspace()(x).argmax(1)
    open_, mute = (attacked(spec.name, model.eval(), x, label, options=few(spec)) for model in (Halfspace(), Mute()))
    assert open_["success"].all()
    assert (open_["images"] == mute["images"]).all()


@pytest.mark.parametrize("limit", [1, 2, 7, 50, 300])
@pytest.mark.parametrize("spec", [one for one in BLIND if not one.values[0].traits.has("start")])
def test_no_image_asks_more_often_than_it_may(spec, limit):
    model, x = Small((1, 6, 6), 4), pictures((1, 6, 6), 20)
    label = model(x).argmax(1)
    label[3] = (label[3] + 1) % 4
    made = attacked(spec.name, model, x, label, "0.3", max_queries=limit, restarts=2 if spec.traits.random else 1)
    assert made["queries"].max() <= limit
    assert made["queries"][3] == 0
    assert np.isfinite(made["images"]).all()
    decided = model(torch.from_numpy(made["images"])).argmax(1).numpy()
    assert (made["prediction"] == decided).all()
    assert ((decided != label.numpy()) == made["success"].astype(bool))[made["queries"] > 0].all()


@pytest.mark.parametrize("spec", DEAF)
def test_more_queries_bring_it_closer(spec):
    model, x = Small((1, 8, 8), 4), pictures((1, 8, 8), 30)
    label = model(x).argmax(1)
    made = [attacked(spec.name, model, x, label, max_queries=limit) for limit in (100, 1000)]
    both = (made[0]["success"] & made[1]["success"]).astype(bool)
    assert both.sum() > 10
    far = [np.sqrt(((one["images"] - x.numpy())[both] ** 2).sum((1, 2, 3))) for one in made]
    assert np.median(far[1]) < 0.8 * np.median(far[0])


def test_the_way_back_ends_on_the_boundary():
    model, x = Halfspace().eval(), near_the_plane()
    label = model(x).argmax(1)
    other = torch.where((label == 0).view(-1, 1, 1, 1), torch.ones_like(x) * (model.w > 0).view(1, 3, 2, 2), 1 - x)
    other = torch.where((label == 1).view(-1, 1, 1, 1), torch.ones_like(x) * (model.w < 0).view(1, 3, 2, 2), other)
    victim = Victim(model, Tally(len(x)), torch.arange(len(x)), None)
    point = bisect_to_boundary(victim, Goal(label), x, other, 1e-4)
    assert (model(point).argmax(1) != label).all()
    share = ((point - x).flatten(1).norm(dim=1) / (other - x).flatten(1).norm(dim=1) - 2e-4).view(-1, 1, 1, 1)
    inside = x + share * (other - x)
    assert (model(inside).argmax(1) == label).all()


def test_a_step_along_the_sphere_stays_at_its_distance():
    x, point = pictures((1, 6, 6), 8), pictures((1, 6, 6), 8).flip(0)
    drawn = SampleRNG(0, torch.arange(8)).normal(1, 6, 6)
    beside = around(x, point, drawn, torch.full((8,), 0.3))
    before, after = ((one - x).flatten(1).norm(dim=1) for one in (point, beside))
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    assert ((beside - point).flatten(1).norm(dim=1) > 0.2 * before).all()


def test_starts_have_many_grains_and_fit_every_shape():
    for shape in ((1, 28, 28), (3, 12, 20), (1, 1, 7)):
        x, rng = pictures(shape), SampleRNG(0, torch.arange(5))
        found = [noise(x, rng.fork("try", k), k) for k in range(10)]
        assert all(one.shape == x.shape for one in found)
        assert all(one.min() >= 0 and one.max() <= 1 for one in found)
        assert set(found[5].unique().tolist()) <= {0.0, 1.0}
        assert (found[4].flatten(2).amax(2) == found[4].flatten(2).amin(2)).all(), "one colour"
