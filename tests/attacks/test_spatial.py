"""Movements of the picture: one bilinear resampling, the grid and the draws, ink, presets, every verb."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from advcli.attacks.spatial import gridded, moved
from blobs import Bent, pictures
from conftest import attacked


def shifts(*rows: tuple[float, float, float]) -> Tensor:
    return torch.tensor(rows)


def test_resting_turning_by_a_right_angle_and_whole_pixels_are_exact():
    x = pictures(3, (3, 12, 12))
    assert torch.equal(moved(x, torch.zeros(3, 3)), x)
    for times in (1, 2, 3):
        turned = np.rot90(x.numpy(), times, (2, 3))
        np.testing.assert_allclose(moved(x, shifts((0, 0, 90.0 * times)).expand(3, 3)), turned, atol=1e-5)
    wanted = torch.zeros_like(x)
    wanted[:, :, :-2, 3:] = x[:, :, 2:, :-3]
    assert torch.equal(moved(x, shifts((3, -2, 0)).expand(3, 3)), wanted), "black comes in, and nothing from the other side"


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 12, 20), (1, 1, 7)], ids=str)
def test_a_movement_is_one_bilinear_resampling(shape):
    """SciPy's affine_transform with an interpolated black outside."""
    x, moves = torch.rand(4, *shape), shifts((1.5, -0.25, 17), (-3, 2, -30), (0.1, 0.2, 0), (0, 0, 121))
    found, centre = moved(x, moves).numpy(), (np.array(shape[1:]) - 1) / 2
    for picture, (right, down, degrees), mine in zip(x.numpy(), moves.tolist(), found, strict=True):
        cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        back = np.array([[cos, sin], [-sin, cos]])  # from rows and columns of the result to those of the picture
        offset = centre - back @ (centre + np.array([down, right]))
        for plane, own in zip(picture, mine, strict=True):
            wanted = ndimage.affine_transform(plane, back, offset, order=1, mode="grid-constant", prefilter=False)
            np.testing.assert_allclose(own, wanted, atol=1e-5)


def test_a_border_makes_the_picture_smaller_first():
    x = torch.rand(2, 1, 28, 28)
    small = nn.functional.interpolate(x.double(), (20, 20), mode="bilinear", align_corners=False)
    wanted = nn.functional.pad(small, (4, 4, 4, 4)).float()
    torch.testing.assert_close(moved(x, torch.zeros(2, 3), border=4), wanted, atol=1e-6, rtol=0)


def test_an_odd_grid_holds_the_identity_and_reaches_its_ends():
    grid = gridded("5,3,31", 3, 30)
    assert len(grid) == 5 * 3 * 31
    assert (grid == 0).all(1).sum() == 1
    assert grid.abs().amax(0).tolist() == [3, 3, 30]
    assert gridded("1,1,1", 3, 30).tolist() == [[0, 0, 0]], "one point is the middle"


def test_full_strength_asks_for_every_point_of_the_grid_and_keeps_the_worst():
    model, x = Bent(), pictures(40)
    label = model(x).argmax(1)
    made = attacked("spatial", model, x, label, options={"grid": "3,3,5"}, early_stop=False)
    assert (made["queries"] == 45).all()
    every = torch.stack([model(moved(x, one.expand(40, 3))) for one in gridded("3,3,5", 1, 15)])
    rival = every.scatter(2, label.expand(45, 40)[..., None], -torch.inf).amax(2)
    gaps = rival - every.gather(2, label.expand(45, 40)[..., None])[..., 0]
    assert 0 < made["success"].sum() < 40
    assert (made["success"] == (gaps.amax(0) > 0).numpy()).all()
    kept = model(torch.from_numpy(made["images"]))
    deepest = kept.scatter(1, label[:, None], -torch.inf).amax(1) - kept.gather(1, label[:, None])[:, 0]
    torch.testing.assert_close(deepest, gaps.amax(0), atol=1e-5, rtol=0)


def test_an_early_stop_finds_the_same_images_for_less():
    model, x = Bent(), pictures(40)
    label = model(x).argmax(1)
    first, full = (attacked("spatial", model, x, label, early_stop=flag) for flag in (True, False))
    assert (first["success"] == full["success"]).all()
    assert (full["queries"] == 775).all()
    won = first["success"].astype(bool)
    assert (first["queries"][~won] == 775).all()
    assert first["queries"][won].mean() < 775 / 4
    assert first["gradients"].sum() == 0


def test_it_asks_for_scores_only_and_no_more_often_than_it_may():
    class Closed(Bent):
        def forward(self, x, draws=None):
            assert not (torch.is_grad_enabled() and x.requires_grad), "asked for a gradient"
            return super().forward(x)

    model, x = Closed().requires_grad_(False), pictures(20)
    label = model(x).argmax(1)
    for early in (True, False):
        made = attacked("spatial", model, x, label, max_queries=17, early_stop=early)
        assert made["queries"].max() == 17
        assert early or (made["queries"] == 17).all()


def test_more_random_movements_begin_with_the_same_ones():
    model, x = Bent(), pictures(60)
    label = model(x).argmax(1)
    once, ten = (
        attacked("spatial", model, x, label, options={"mode": "random", "samples": n}, early_stop=False) for n in (1, 10)
    )
    assert (once["queries"] == 1).all()
    assert (ten["queries"] == 10).all()
    assert (ten["success"] >= once["success"]).all()
    assert ten["success"].sum() > once["success"].sum()
    again = attacked("spatial", model, x, label, options={"mode": "random", "samples": 1}, early_stop=False, batch=7)
    assert (again["images"] == once["images"]).all(), "draws depend on no batch"


def test_movements_that_lose_ink_are_not_even_tried():
    model, x = Bent(), pictures(30)
    x[0] = 0
    label = model(x).argmax(1)
    options = {"max_shift": 6, "grid": "5,5,3"}
    loose = attacked("spatial", model, x, label, options=options, early_stop=False)
    made = attacked("spatial", model, x, label, options=options | {"ink_tolerance": 0.05}, early_stop=False)
    ink, before = made["images"].sum((1, 2, 3)), x.numpy().sum((1, 2, 3))
    assert (abs(ink - before) <= 0.05 * before + 1e-4).all()
    assert (abs(loose["images"].sum((1, 2, 3)) - before) > 0.05 * before).any()
    assert (made["queries"] < 75)[1:].all()
    assert made["queries"][0] == 75, "black stays black, wherever it is moved"


def test_the_preset_of_paper_4_is_what_its_words_say():
    """S4-A1: wang-zhang is 10 pixels, 10 degrees, 5 x 5 x 11 points, a border of 4, ink 0.1."""
    model, x = Bent(784), pictures(4, (1, 28, 28))
    label = model(x).argmax(1)
    spelled = {"max_shift": 10, "max_rot": 10, "grid": "5,5,11", "border": 4, "ink_tolerance": 0.1}
    made, same = (attacked("spatial", model, x, label, options=one) for one in ({"preset": "wang-zhang"}, spelled))
    assert (made["images"] == same["images"]).all()
    other = attacked("spatial", model, x, label, options={"preset": "wang-zhang", "border": 0})
    assert (made["images"] != other["images"]).any(), "what is said counts more than the preset"


def test_the_default_movement_goes_with_the_size_of_the_picture():
    for side, shift, turn in ((8, 1, 15), (28, 3, 30), (32, 3, 30)):
        model, x = Bent(side * side), pictures(3, (1, side, side))
        label = model(x).argmax(1)
        spelled = {"max_shift": shift, "max_rot": turn}
        made, same = (attacked("spatial", model, x, label, options=one) for one in ({}, spelled))
        assert (made["images"] == same["images"]).all()


def test_spatial_sets_go_through_every_verb(run, model):
    for more in (("--grid", "3,3,5"), ("--mode", "random", "--samples", "4"), ("--quantize",)):
        ran = run("attack", "--method", "spatial", "--limit", "20", *more)
        assert ran.code == 0, ran.err
        assert run("verify", "adversarial.h5", "perturbations.h5").code == 0
        assert " ".join(more) in run("show", "adversarial.h5").out
    assert "spatial, scores only, early-stopped" in run("evaluate", "adversarial.h5").out, "no norm is named where there is none"
    assert "nan" not in run("stats").out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--eps 0.1", "no option --eps"),
        ("--grid 5,5", "three numbers"),
        ("--grid 5,x,5", "three numbers"),
        ("--grid 9999,9999,9999", "10000 points"),
        ("--border 4", "nothing would be left"),
        ("--samples 4", "--mode random"),
        ("--mode random --grid 3,3,3", "--mode grid"),
        ("--max-rot 200", "outside"),
        ("--restarts 2", "no option --restarts"),
    ],
)
def test_spatial_refuses_what_means_nothing(run, model, words, complaint):
    ran = run("attack", "--method", "spatial", *words.split())
    assert ran.code == 2
    assert complaint in ran.err


def test_the_first_order_form_climbs_the_loss_in_shift_and_rotation():
    """S4-A1 (a): its slope is that of the loss in the three numbers, and steps along it find more than their random start."""
    x = ndimage.gaussian_filter(pictures(4, (1, 20, 20)).numpy(), (0, 0, 2, 2))
    x, weight = torch.from_numpy(x).double(), torch.randn(1, 20, 20, dtype=torch.float64)
    place = torch.tensor([[0.4, -0.3, 7.2]] * 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: (moved(x, p) * weight).sum((1, 2, 3)), place, eps=1e-6, atol=1e-5)
    model, some = Bent(), pictures(24)
    label = model(some).argmax(1)
    found = {
        steps: attacked("spatial-gradient", model, some, label, options={"steps": steps, "max_shift": 2.0, "max_rot": 60.0})
        for steps in (1, 20)
    }
    assert found[20]["success"].sum() > found[1]["success"].sum()
    assert (found[20]["gradients"] <= 20).all()
