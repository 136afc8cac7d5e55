"""APGD in l1: its phases, its sparse steps, and that it finds as much as PGD does in l1."""

import pytest
import torch

from advcli.attacks.apgd import phases
from advcli.numerics.balls import Ball
from advcli.search.sparse_ascent import SparseAscent
from advcli.search.victim import Victim
from conftest import attacked
from small_networks import Small, pictures


@pytest.mark.parametrize("steps", [1, 5, 9, 10, 11, 20, 37, 100])
def test_the_phases_take_all_steps_and_end_in_the_ball(steps):
    found = phases(steps)
    assert sum(count for _, count in found) == steps
    assert all(count > 0 for _, count in found)
    assert found[-1][0] == 1
    assert [times for times, _ in found] == ([1] if steps < 10 else [1, 3, 2, 1])


def ascent(x, gradient, *, pixels=2.0, before=4.0, radius=1.0):
    ball = Ball(torch.full_like(x, 0.5), torch.tensor([radius]), "l1")
    one = torch.ones(1)
    return ball, SparseAscent(x, gradient, x, gradient, 0 * one, radius * one, pixels * one, before * one)


def test_a_step_goes_along_the_largest_gradients_that_have_room():
    x = torch.tensor([0.5, 1.0, 0.5, 0.5]).view(1, 1, 2, 2)
    ball, found = ascent(x, torch.tensor([3.0, 9.0, -2.0, 1.0]).view(1, 1, 2, 2), radius=0.4)
    ball = Ball(x, ball.radius, "l1")
    assert (found.move(ball) - x).flatten().tolist() == pytest.approx([0.2, 0, -0.2, 0])


def test_a_checkpoint_takes_fewer_pixels_and_a_long_step_again_where_the_best_point_grew_sparser():
    x = torch.tensor([0.9, 0.5, 0.5, 0.5]).view(1, 1, 2, 2)
    for before, step in ((4.0, 1.0), (1.0, 0.2 / 1.5)):
        ball, found = ascent(x, torch.ones_like(x), before=before)
        found.step = torch.tensor([0.2])
        found.arrive(ball, x + 0.01, torch.zeros_like(x), torch.tensor([-1.0]), checkpoint=True)
        assert found.step.tolist() == pytest.approx([step])
        assert found.pixels.tolist() == pytest.approx([1 / 1.5])
        assert torch.equal(found.x, x if before == 4 else x + 0.01), "from the best point, or on from where it is"


def test_a_step_is_never_shorter_than_a_tenth_of_the_budget():
    x = torch.full((1, 1, 2, 2), 0.6)
    ball, found = ascent(x, torch.ones_like(x))
    for _ in range(20):
        found.arrive(ball, x, found.gradient, torch.tensor([-1.0]), checkpoint=True)
    assert found.step.tolist() == pytest.approx([0.1])


def test_it_finds_as_much_as_pgd_in_l1():
    model, x = Small((1, 6, 6), 5), pictures((1, 6, 6), 60)
    label = model(x).argmax(1)
    won = {name: attacked(name, model, x, label, "3", options={"norm": "l1", "steps": 60})["success"] for name in ("pgd", "apgd")}
    assert 30 < won["pgd"].sum() <= won["apgd"].sum() < 60


def test_only_in_the_ball_itself_an_image_can_be_done(monkeypatch):
    """In a wider ball a point beyond the boundary is no success, so its gradient is needed still."""
    stops, gradient = [], Victim.gradient

    def noted(self, x, loss, done=None):
        stops.append(done is not None)
        return gradient(self, x, loss, done)

    monkeypatch.setattr(Victim, "gradient", noted)
    x = pictures((1, 6, 6), 4)
    model = Small((1, 6, 6), 3).eval()
    made = attacked("apgd", model, x, model(x).argmax(1), "0.001", options={"norm": "l1", "steps": 20})
    assert not made["success"].any()
    assert stops[:20] == [times == 1 for times, count in phases(20) for _ in range(count)]
