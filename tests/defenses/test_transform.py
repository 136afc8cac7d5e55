"""Changes of light and camera: their formulas, their draws, and the geometry of resizing and perspective."""

import json

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from advcli.catalog import discovery
from advcli.defenses.gaussian import smooth
from advcli.defenses.jpeg import compressed
from advcli.defenses.transform import exposed, photographed
from advcli.files.imageset_reader import ImageSet
from advcli.numerics.resampling import resized, warped
from advcli.numerics.rng import SampleRNG

DRAWS = SampleRNG(0, torch.arange(6))
SQUARE = torch.tensor([[0.0, 0], [0, 1], [1, 1], [1, 0]], dtype=torch.float64)


def images(shape=(3, 12, 9), count=6):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


def rule(**options):
    return discovery.spec("defense", "transform").bind(options)(nn.Identity()).filter


@pytest.mark.parametrize("options", [{"brightness": 0}, {"contrast": 1}, {"blur": 0}, {"noise": 0}, {"resize": 1}, {"photo": 0}])
def test_a_change_by_nothing_leaves_every_bit(options):
    """S2-A8: the identity parameter of each change."""
    assert torch.equal(rule(**options)(images(), DRAWS), images())


def test_every_change_has_its_formula():
    """S2-A8: brightness, contrast, blur, noise and JPEG, and several of them in their order."""
    x = images()
    mean = x.mean((2, 3), keepdim=True)
    torch.testing.assert_close(rule(brightness=0.04)(x, DRAWS), (x + 0.04).clamp(0, 1))
    torch.testing.assert_close(rule(contrast=1.3)(x, DRAWS), (mean + 1.3 * (x - mean)).clamp(0, 1))
    np.testing.assert_allclose(rule(blur=1)(x, DRAWS).numpy(), ndimage.gaussian_filter(x.numpy(), (0, 0, 1, 1)), atol=1e-5)
    assert torch.equal(rule(quality=50)(x, DRAWS), compressed(x, 50, "half"))
    noise = rule(noise=0.05)(torch.full((6, 3, 40, 40), 0.5), DRAWS) - 0.5
    assert float(noise.std()) == pytest.approx(0.05, rel=0.02)
    assert not torch.equal(noise[0], noise[1])
    together = compressed(smooth((x - 0.1).clamp(0, 1), 0.7), 60, "half")
    torch.testing.assert_close(rule(quality=60, blur=0.7, brightness=-0.1)(x, DRAWS), together)


def test_an_image_is_changed_by_its_own_draws_alone():
    """S2-A8: seeded, for every image by itself."""
    x, change = images(), rule(noise=0.1, resize=0.6, photo=1, quality=70)
    whole = change(x, DRAWS)
    assert torch.equal(whole, torch.cat([change(x[k : k + 1], DRAWS[torch.tensor([k])]) for k in range(6)]))
    other = change(x, SampleRNG(1, torch.arange(6)))
    assert ((whole - other).abs().amax((1, 2, 3)) > 0.01).all()
    assert torch.equal(rule()(x, DRAWS), rule(photo=1)(x, DRAWS)), "without options it is the photograph"


def test_a_photograph_is_near_the_image_and_farther_with_its_strength():
    x = torch.from_numpy(ndimage.gaussian_filter(images((1, 28, 28)).numpy(), (0, 0, 2, 2)))
    apart = [float((photographed(x, DRAWS, strength) - x).abs().mean()) for strength in (0.1, 1.0, 3.0)]
    assert apart == sorted(apart)
    assert 0.01 < apart[1] < 0.1


def test_a_perspective_is_the_projective_map_of_its_four_corners():
    x = images((2, 7, 10)).double()
    assert torch.equal(warped(x, SQUARE.expand(6, 4, 2)), x)
    corners = SQUARE + 0.15 * (torch.rand(6, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.3)
    found = warped(x, corners)
    v, u = np.meshgrid((np.arange(7) + 0.5) / 7, (np.arange(10) + 0.5) / 10, indexing="ij")
    for k in range(6):
        rows, wanted = [], []
        for (b, a), (row, column) in zip(SQUARE.tolist(), corners[k].tolist(), strict=True):
            rows += [[a, b, 1, 0, 0, 0, -a * column, -b * column], [0, 0, 0, a, b, 1, -a * row, -b * row]]
            wanted += [column, row]
        m = np.append(np.linalg.solve(rows, wanted), 1).reshape(3, 3)
        column, row, depth = np.einsum("ij,jhw->ihw", m, np.stack([u, v, np.ones_like(u)]))
        places = [row / depth * 7 - 0.5, column / depth * 10 - 0.5]
        each = [ndimage.map_coordinates(one.numpy(), places, order=1, mode="nearest") for one in x[k]]
        np.testing.assert_allclose(found[k].numpy(), np.stack(each), atol=1e-9)


def test_resizing_is_torchs_and_the_rest_of_the_frame_is_black():
    x = images((2, 10, 8))
    share, place = torch.tensor([1.0, 0.5, 0.8, 0.3, 0.72, 0.01]), torch.rand(6, 2, generator=torch.Generator().manual_seed(2))
    found = resized(x, share, place)
    assert torch.equal(found[0], x[0])
    for k in range(6):
        height, width = (max(1, round(float(share[k]) * side)) for side in (10, 8))
        small = nn.functional.interpolate(x[k : k + 1], (height, width), mode="bilinear")[0]
        top, left = int(place[k, 0] * (11 - height)), int(place[k, 1] * (9 - width))
        wanted = torch.zeros(2, 10, 8)
        wanted[:, top : top + height, left : left + width] = small
        torch.testing.assert_close(found[k], wanted, atol=1e-6, rtol=0)


def test_sizes_are_uniform_between_the_smallest_and_the_whole():
    shrink = discovery.spec("defense", "resize-pad").bind({"smallest": 0.8})(nn.Identity()).filter
    white = shrink(torch.ones(4000, 1, 20, 20), SampleRNG(0, torch.arange(4000))) > 0.5
    counts = np.bincount(white.amax(3).sum((1, 2)).numpy(), minlength=21)
    assert counts[:16].sum() == 0
    np.testing.assert_allclose(counts[16:] / 4000, [1 / 8, 1 / 4, 1 / 4, 1 / 4, 1 / 8], atol=0.03)
    assert (white[:, 0, 0].any(1)).float().mean() < 0.6, "not always at the edge"


def test_gradients_are_exact_where_nothing_is_rounded():
    x = (0.1 + 0.8 * images((1, 5, 6), 2)).double().requires_grad_()
    corners = SQUARE + 0.1 * (torch.rand(2, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5)
    gamma = torch.tensor([0.8, 1.2], dtype=torch.float64)
    share, place = torch.tensor([0.7, 0.9]), torch.tensor([[0.2, 0.6], [0.9, 0.1]])
    assert torch.autograd.gradcheck(lambda x: exposed(warped(x, corners), gamma), x)
    assert torch.autograd.gradcheck(lambda x: resized(x, share, place), x)


def test_gamma_leaves_black_and_white_and_has_a_slope_at_black():
    ends = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).repeat(2, 1, 1, 1).requires_grad_()
    found = exposed(ends, torch.tensor([0.8, 1.25]))
    torch.testing.assert_close(found.detach(), ends.detach())
    found.sum().backward()
    assert ((ends.grad > 0.2) & (ends.grad < 4)).all()


def test_a_transformed_set_keeps_its_originals_and_clean_images_are_transformed_by_the_defended_model(run, model):
    """S2-A8: the destruction rate needs the attacked images, transformed, and the clean accuracy under the same transform."""
    assert run("attack", "--method", "fgsm", "--eps", "0.1", "--limit", "40").code == 0
    ran = run("defend", "--method", "transform", "--blur", "1", "--noise", "0.02", "adversarial.h5")
    assert ran.code == 0, ran.err
    with ImageSet("adversarial.h5") as before, ImageSet("adversarial.filtered.h5") as after:
        assert torch.equal(before.rows("originals", 0, 40), after.rows("originals", 0, 40))
        assert not torch.equal(before.rows("images", 0, 40), after.rows("images", 0, 40))
    said = run("evaluate", "adversarial.filtered.h5", "--model", "model.safetensors", "--metric", "recovered", "--json")
    assert json.loads(said.out)["rows"][0]["n"] > 0
    assert run("defend", "--method", "transform", "--blur", "1", "--noise", "0.02").code == 0
    said = run("evaluate", "--model", "defended.safetensors", "--data", "digits", "--metric", "accuracy", "--json")
    assert 0.1 < json.loads(said.out)["rows"][0]["value"] < 1
