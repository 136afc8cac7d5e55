"""--quantize: the grid point inside the ball, or the word that there is none."""

import numpy as np
import pytest
import torch

from advcli.numerics.balls import Ball, distance, tolerance
from advcli.numerics.quantize import on_grid, quantize, snap_to_byte
from conftest import attacked
from small_networks import Small, pictures


def bytes_as_pixels(shape=(6, 1, 5, 5)):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)) / 255


@pytest.mark.parametrize(
    ("eps", "levels"), [(0.003, 0), (0.004, 1), (0.0078, 1), (0.008, 2), (2 / 255, 2), (8 / 255, 8), (0.3, 76)]
)
def test_trunc_cuts_the_perturbation_to_whole_bytes(eps, levels):
    """S1-A1: floor(255 eps) / 255."""
    x = bytes_as_pixels() * 0.2 + 0.4
    x = snap_to_byte(x)
    ball = Ball(x, torch.full((6,), eps), "linf")
    found, possible = quantize(ball, x + eps, "trunc")
    assert possible.all()
    assert on_grid(found).all()
    assert ((found - x) * 255).round().unique().tolist() == [levels]


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("rounding", ["nearest", "trunc"])
@pytest.mark.parametrize("eps", [0.001, 1 / 255, 0.02, 0.5, 3.0])
def test_a_picture_of_bytes_always_has_a_grid_point_inside(norm, rounding, eps):
    x = bytes_as_pixels()
    ball = Ball(x, torch.full((6,), eps), norm)
    y = ball.project(x + torch.from_numpy(np.random.default_rng(1).normal(size=x.shape).astype(np.float32)))
    found, possible = quantize(ball, y, rounding)
    assert possible.all()
    assert on_grid(found).all()
    assert (distance(found, x, norm) <= eps + tolerance(eps)).all()
    if rounding == "nearest" and norm == "linf":
        assert (distance(found, y, "linf") <= 1.0001 / 255).all()


def test_a_row_without_a_grid_point_is_said_to_have_none():
    x = torch.full((2, 1, 2, 2), 0.5 / 255)
    x[1] = 3 / 255
    found, possible = quantize(Ball(x, torch.full((2,), 0.001), "linf"), x, "nearest")
    assert possible.tolist() == [False, True]
    assert torch.equal(found[0], x[0])


def test_a_quantised_attack_is_judged_after_rounding():
    model, x = Small((1, 6, 6), 5), snap_to_byte(pictures((1, 6, 6), 60))
    label = model(x).argmax(1)
    made = attacked("pgd", model, x, label, "0.1", quantize=True)
    images = torch.from_numpy(made["images"])
    assert on_grid(images).all()
    assert ((model(images).argmax(1) != label).numpy() == made["success"].astype(bool)).all()
    assert made["success"].any()


@pytest.mark.parametrize(("levels", "kept"), [(7.9995, 7), (7.99999, 8), (8.0, 8), (8.0005, 8), (-7.9995, -7), (-8.0, -8)])
def test_trunc_reaches_a_level_only_where_float32_cannot_tell_it_from_it(levels, kept):
    """A perturbation half a thousandth of a level short of 8 levels is cut to 7; one within float32's error is 8."""
    x = torch.full((1, 1, 2, 2), 100 / 255)
    found, _ = quantize(Ball(x, torch.tensor([0.5]), "linf"), ((100 + levels) / 255) * torch.ones_like(x), "trunc")
    assert ((found - x) * 255).round().unique().tolist() == [kept]


@pytest.mark.parametrize(("short", "levels"), [(2e-5, 3), (5e-4, 2)])
def test_a_budget_that_misses_a_level_by_more_than_float32s_error_does_not_reach_it(short, levels):
    x = torch.full((1, 1, 2, 2), 100.0) / 255
    ball = Ball(x, torch.tensor([(3 - short) / 255]), "linf")
    found, possible = quantize(ball, x + 3.2 / 255, "nearest")
    assert possible.all()
    assert (found * 255).round().unique().tolist() == [100 + levels]
