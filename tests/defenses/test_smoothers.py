"""Non-local means and total variation: their formulas, by hand and by what is known of the minimum, and their gradients."""

import numpy as np
import pytest
import torch
from torch import nn

from advcli.catalog import discovery
from advcli.defenses.squeeze import Squeezer, nonlocal_of, squeezed
from advcli.defenses.squeeze_detector import read
from advcli.defenses.tv import differences, flattened, gathered
from advcli.errors import CommandError
from advcli.numerics.nonlocal_means import nonlocal_means


def images(*shape, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize(("shape", "search", "patch"), [((1, 6, 7), 5, 3), ((3, 4, 5), 3, 1), ((2, 1, 4), 7, 5)], ids=str)
def test_nonlocal_means_are_the_double_loop(shape, search, patch):
    """S4-D2: non-local means of a search window, patches and a strength."""
    x, strength = images(2, *shape), 60.0
    reach, half = search // 2, patch // 2
    border = reach + half
    for image, found in zip(x.numpy(), nonlocal_means(x, search, patch, strength).numpy(), strict=True):
        wide = np.pad(image, ((0, 0), (border, border), (border, border)), mode="symmetric")

        def around(row, column, wide=wide):
            top, left = row + border - half, column + border - half
            return wide[:, top : top + patch, left : left + patch]

        for row, column in np.ndindex(*shape[1:]):
            total, weight = 0.0, 0.0
            for down, right in np.ndindex(search, search):
                there = (row + down - reach, column + right - reach)
                share = np.exp(-((around(row, column) - around(*there)) ** 2).mean() * 255**2 / strength**2)
                total += share * wide[:, there[0] + border, there[1] + border]
                weight += share
            np.testing.assert_allclose(found[:, row, column], total / weight, atol=1e-9)


def test_the_gradient_of_nonlocal_means_is_exact_and_they_take_noise_off_flat_ground():
    x = images(1, 2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: nonlocal_means(x, 3, 3, 100.0), x)
    noise = 0.5 + 0.02 * torch.randn(1, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    assert nonlocal_means(noise, 11, 3, 20.0).std() < 0.3 * noise.std()
    torch.testing.assert_close(nonlocal_means(noise, 11, 3, 0.1), noise)


@pytest.mark.parametrize(
    "text", ["11", "11-3", "10-3-4", "11-2-4", "11-3-0", "11-3-256", "1001-3-4", "11-3-4-5", "a-b-c", "11--4"]
)
def test_three_numbers_are_nonlocal_means(text):
    assert nonlocal_of("11-3-4") == (11, 3, 4)
    assert read("bits:5,nlm:13-3-2") == [Squeezer(bits=5), Squeezer(nlm=(13, 3, 2))]
    with pytest.raises(CommandError, match="--nlm"):
        nonlocal_of(text)


def test_a_squeeze_is_median_then_nonlocal_means_then_grey_levels():
    x = images(2, 1, 8, 8, dtype=torch.float32)
    keep = discovery.spec("defense", "squeeze").bind({"bits": 3, "median": "3", "nlm": "5-3-40"})(nn.Identity()).keep
    wanted = squeezed(nonlocal_means(squeezed(x, Squeezer(median=(3, 3))), 5, 3, 40), Squeezer(bits=3))
    assert torch.equal(keep(x), wanted)
    alone = discovery.spec("defense", "squeeze").bind({"nlm": "5-3-40"})(nn.Identity()).keep
    assert torch.equal(alone(x), nonlocal_means(x, 5, 3, 40)), "without --bits no grey levels are lost"


def test_the_differences_and_their_adjoint_fit():
    z, below, beside = images(2, 1, 5, 4), images(2, 1, 5, 4) - 0.3, images(2, 1, 5, 4).flip(3)
    down, right = differences(z)
    assert float((down * below + right * beside).sum() - (z * gathered(below, beside)).sum()) == pytest.approx(0, abs=1e-12)
    assert (down[:, :, -1] == 0).all()
    assert (right[..., -1] == 0).all()


def test_total_variation_lowers_a_step_by_its_weight_over_its_width():
    """Of an edge between a dark columns and b light ones, the minimum is known: the levels move by w / a and w / b."""
    step = torch.cat([torch.full((1, 1, 6, 3), 0.2), torch.full((1, 1, 6, 5), 0.9)], 3).double()
    found = flattened(step, 0.06, 3000)
    torch.testing.assert_close(found[..., :3], torch.full((1, 1, 6, 3), 0.2 + 0.06 / 3).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[..., 3:], torch.full((1, 1, 6, 5), 0.9 - 0.06 / 5).double(), atol=1e-5, rtol=0)


def test_the_default_steps_come_within_a_thousandth_of_the_minimum():
    x = images(3, 1, 12, 10)

    def objective(z):
        down, right = differences(z)
        return (0.5 * (z - x) ** 2).sum() + 0.03 * (down**2 + right**2).sqrt().sum()

    best, found = float(objective(flattened(x, 0.03, 2000))), float(objective(flattened(x, 0.03, 30)))
    assert best <= found < 1.001 * best
    for scale in (0.01, 0.001):
        other = flattened(x, 0.03, 2000) + scale * (images(3, 1, 12, 10).flip(2) - 0.5)
        assert objective(other) > best


def test_the_gradient_of_total_variation_is_exact_and_a_weight_of_zero_is_the_identity():
    x = images(1, 1, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: flattened(x, 0.1, 5), x)
    assert torch.equal(discovery.spec("defense", "tv").bind({"weight": 0})(nn.Identity()).keep(x), x)
