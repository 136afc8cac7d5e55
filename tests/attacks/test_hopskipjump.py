"""HopSkipJump: the schedule of its paper, and what it asks."""

import math

import pytest
import torch

from advcli.attacks import hopskipjump as module
from advcli.numerics.balls import distance
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from advcli.search.victim import Tally, Victim
from conftest import Halfspace, attacked, near_the_plane


@pytest.fixture
def calls(monkeypatch):
    """(radius, count) of every estimate and the lengths of every step, as the attack asks for them."""
    made = {"direction": [], "stepped": []}
    direction, stepped = module.direction, module.stepped

    def estimated(victim, goal, point, radius, rng, count):
        made["direction"].append((point.clone(), radius.clone(), count))
        return direction(victim, goal, point, radius, rng, count)

    def moved(victim, goal, point, normal, length):
        made["stepped"].append(length.clone())
        return stepped(victim, goal, point, normal, length)

    monkeypatch.setattr(module, "direction", estimated)
    monkeypatch.setattr(module, "stepped", moved)
    return made


def test_rounds_ask_and_step_as_in_the_paper(calls):
    """B_t = b sqrt(t) decisions within d^-1 of the distance, then a step of the distance / sqrt(t); the first are within 0.1."""
    x = near_the_plane()
    attacked("hopskipjump", Halfspace(), x, Halfspace()(x).argmax(1), options={"steps": 4, "evaluations": 30})
    assert [count for _, _, count in calls["direction"]] == [int(30 * math.sqrt(t)) for t in (1, 2, 3, 4)]
    assert len(calls["stepped"]) == 4
    for t, ((point, radius, _), length) in enumerate(zip(calls["direction"], calls["stepped"], strict=True), 1):
        far = distance(point, x, "l2").float()
        wanted = torch.full_like(far, 0.1) if t == 1 else far / x[0].numel()
        torch.testing.assert_close(radius, wanted)
        torch.testing.assert_close(length, far / math.sqrt(t))


def test_a_direction_is_the_normal_of_the_plane_and_of_length_one(monkeypatch):
    """Whatever number of images is estimated at a time: the draws are those of the image."""
    model, x = Halfspace(), near_the_plane()
    score = (x.flatten(1) - 0.5) @ model.w
    point = (x - (score / model.w.norm() ** 2)[:, None].mul(model.w).view_as(x)).detach()  # its foot on the plane
    goal, rows = Goal(model(x).argmax(1)), torch.arange(len(x))
    radius, draws = torch.full((len(x),), 0.01), SampleRNG(0, rows)
    found = module.direction(Victim(model, Tally(len(x)), rows, None), goal, point, radius, draws, 1000)
    torch.testing.assert_close(found.flatten(1).norm(dim=1), torch.ones(len(x)))
    cosine = (found.flatten(1) @ model.w.detach()) / model.w.detach().norm() * -score.detach().sign()
    assert (cosine > 0.98).all(), cosine
    monkeypatch.setattr(module, "AT_ONCE", 1)
    apart = module.direction(Victim(model, Tally(len(x)), rows, None), goal, point, radius, draws, 1000)
    torch.testing.assert_close(apart, found)


def test_the_last_queries_go_into_an_estimate_and_one_step():
    """Eight queries are the fewest that an estimate is worth; the limit is never passed."""
    x = near_the_plane()
    for limit in (60, 100, 150):
        made = attacked("hopskipjump", Halfspace(), x, Halfspace()(x).argmax(1), max_queries=limit)
        assert (made["queries"] <= limit).all()
        assert (made["queries"] > limit - module.FEWEST).all()
