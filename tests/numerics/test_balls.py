"""Balls: projections, steps and random points, for any pictures."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from advcli.numerics.balls import GEOMETRY, Ball, distance, tolerance
from advcli.numerics.rng import SampleRNG

NORMS = sorted(GEOMETRY)
seeds = st.integers(0, 2**31)
radii = st.floats(0.001, 3)


def case(seed, radius, norm, size=6):
    rng = np.random.default_rng(seed)
    center = np.clip(rng.normal(0.5, 0.5, (4, 1, 2, size // 2)), 0, 1).astype(np.float32)
    point = rng.normal(0.5, 1.5, center.shape).astype(np.float32)
    return Ball(torch.from_numpy(center), torch.full((4,), radius), norm), torch.from_numpy(point)


@pytest.mark.parametrize("norm", NORMS)
@settings(max_examples=60, deadline=None)
@given(seed=seeds, radius=radii)
def test_a_projection_lies_in_the_ball_and_stays_there(norm, seed, radius):
    ball, x = case(seed, radius, norm)
    once = ball.project(x)
    assert ball.holds(once).all()
    assert once.min() >= 0
    assert once.max() <= 1
    torch.testing.assert_close(ball.project(once), once, atol=2e-6, rtol=0)


@pytest.mark.parametrize("norm", NORMS)
@settings(max_examples=40, deadline=None)
@given(seed=seeds, radius=radii)
def test_projections_bring_no_two_points_further_apart(norm, seed, radius):
    ball, x = case(seed, radius, norm)
    y = x + 0.3
    assert (distance(ball.project(x), ball.project(y), "l2") <= distance(x, y, "l2") + 1e-5).all()


@pytest.mark.parametrize("norm", ["linf", "l1"])
@settings(max_examples=15, deadline=None)
@given(seed=seeds, radius=st.floats(0.05, 2))
def test_linf_and_l1_projections_are_the_nearest_points(norm, seed, radius):
    ball, x = case(seed, radius, norm, size=4)
    found = ball.project(x)
    for k in range(4):
        c, p = (t[k].double().numpy().ravel() for t in (ball.center, x))
        low, high = (np.maximum(0, c - radius), np.minimum(1, c + radius)) if norm == "linf" else (np.zeros(4), np.ones(4))
        # |d| in two positive halves makes the l1 constraint smooth
        start = np.concatenate([np.zeros(4), np.zeros(4)])
        bounds = [(0, h - m) for m, h in zip(c, high, strict=True)] + [(0, m - w) for m, w in zip(c, low, strict=True)]
        limit = [{"type": "ineq", "fun": lambda v: radius - v.sum()}] if norm == "l1" else []
        best = minimize(lambda v, c=c, p=p: ((c + v[:4] - v[4:] - p) ** 2).sum(), start, bounds=bounds, constraints=limit)
        ours = float(((found[k].double().numpy().ravel() - p) ** 2).sum())
        assert ours <= best.fun + 1e-3


@pytest.mark.parametrize("norm", NORMS)
@settings(max_examples=40, deadline=None)
@given(seed=seeds, radius=st.floats(0.01, 0.2))
def test_the_step_is_the_steepest_one_away_from_black_and_white(norm, seed, radius):
    rng = np.random.default_rng(seed)
    center = torch.from_numpy(rng.uniform(0.3, 0.7, (3, 1, 2, 3)).astype(np.float32))
    g = torch.from_numpy(rng.normal(size=(3, 1, 2, 3)).astype(np.float32))
    ball = Ball(center, torch.full((3,), radius), norm)
    gain = ((ball.along(center, g, ball.radius) - center) * g).flatten(1).sum(1)
    dual = {"linf": 1, "l2": 2, "l1": float("inf")}[norm]
    torch.testing.assert_close(gain, radius * g.flatten(1).norm(dual, dim=1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_random_points_fill_the_ball_evenly(norm):
    count, d = 4000, 3
    ball = Ball(torch.full((count, 1, 1, d), 0.5), torch.full((count,), 0.4), norm)
    points = ball.random_point(SampleRNG(0, torch.arange(count)))
    assert ball.holds(points).all()
    share = (distance(points, ball.center, norm) <= 0.2).double().mean()  # half the radius: an eighth of the volume
    assert abs(float(share) - 0.125) < 4 * (0.125 * 0.875 / count) ** 0.5
    assert (points.mean(0) - 0.5).abs().max() < 0.02


def test_distances_are_those_of_the_definitions():
    a, b = torch.zeros(1, 1, 2, 2), torch.tensor([[[[0.0, -0.3], [0.4, 0.0]]]])
    found = [float(distance(a, b, norm)) for norm in ("l0", "l1", "l2", "linf")]
    np.testing.assert_allclose(found, [2, 0.7, 0.5, 0.4], atol=1e-7)


def test_a_budget_may_be_exceeded_by_a_millionth_of_it_or_of_one():
    assert [tolerance(eps) for eps in (0.0, 0.3, 1.0, 4.0)] == [1e-6, 1e-6, 1e-6, 4e-6]


def test_an_l1_budget_beyond_all_room_moves_no_point():
    center, u = torch.full((2, 1, 4, 4), 0.5), torch.linspace(-0.4, 0.4, 32).view(2, 1, 4, 4)
    radius = torch.full((2, 1, 1, 1), 100.0)
    assert torch.equal(GEOMETRY["l1"].project(u, center, radius), u)
