"""Defenses: contracts over the registry, and their formulas against SciPy and worked cases."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.special import logsumexp, softmax
from torch import nn

from advcli.catalog import discovery
from advcli.defenses.average import Averaged, together
from advcli.defenses.gaussian import smooth
from advcli.defenses.squeeze import median, reduce_depth, window
from advcli.defenses.stack import widths
from advcli.errors import CommandError
from advcli.networks import build
from advcli.networks.classifier import Classifier, Dropout
from advcli.numerics.rng import SampleRNG
from advcli.search.victim import Tally, Victim
from conftest import Halfspace, near_the_plane
from small_networks import Small, pictures

SPECS = [pytest.param(spec, id=spec.name) for spec in discovery.specs("defense")]
FILTERS = [p for p in SPECS if p.values[0].traits.filters and not (p.values[0].traits.members or p.values[0].traits.has("fits"))]
DRAWS = SampleRNG(0, torch.arange(5))


def dropping(shape):
    """A small classifier with a layer that drops."""
    *first, last = Small(shape, 4).net
    return Classifier(nn.Sequential(*first, Dropout(0.5), last), [0.0], [1.0], shape=shape, classes=4).eval()


def behind(spec, base, shape):
    """The base behind a defense, with two members where it takes some, and calibrated where it can reject."""
    model = build.wrap(spec.bind({}), base, [Small(shape, 4), Small(shape, 4)], shape, 4)
    if spec.traits.rejects:
        model.adopt({"threshold": 0.1, "unit": 0.5})
    return model.eval()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 12, 20), (1, 1, 7)], ids=str)
@pytest.mark.parametrize("spec", SPECS)
def test_a_defended_model_is_a_model(spec, shape):
    base, x = dropping(shape), pictures(shape)
    model = behind(spec, base, shape)
    logits = model(x, DRAWS)
    assert logits.shape == (5, 4 + spec.traits.rejects)
    assert torch.isfinite(logits).all()
    assert torch.equal(logits, model(x, DRAWS)), "the same draws give the same decision"
    if not spec.traits.random:
        assert torch.equal(logits, model(x, SampleRNG(1, torch.arange(5))))
    else:
        assert not torch.equal(logits, model(x, SampleRNG(1, torch.arange(5))))


@pytest.mark.parametrize("spec", SPECS)
def test_a_gradient_comes_through(spec):
    model, x = behind(spec, dropping((1, 8, 8)), (1, 8, 8)).requires_grad_(False), pictures((1, 8, 8))
    victim = Victim(model, Tally(5), torch.arange(5), DRAWS, eot=2)
    gradient, _ = victim.gradient(x, lambda logits: logits[:, 0])
    assert torch.isfinite(gradient).all()
    assert (gradient.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize("spec", FILTERS)
def test_draws_do_not_depend_on_the_batch(spec):
    rule, x = spec.bind({})(nn.Identity()), pictures((1, 8, 8))
    whole = rule.filter(x, DRAWS)
    each = [rule.filter(x[k : k + 1], DRAWS[torch.tensor([k])]) for k in range(5)]
    torch.testing.assert_close(whole, torch.cat(each), atol=1e-7, rtol=0)
    assert whole.shape == x.shape
    assert whole.min() >= 0
    assert whole.max() <= 1 + 1e-6


@pytest.mark.parametrize("sigma", [0.3, 0.5, 0.75, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (5, 13)])
def test_gaussian_smoothing_is_scipys(sigma, shape):
    """S3-D1, S4-D1: scipy.ndimage.gaussian_filter with reflected borders, to 1e-5."""
    x = np.random.default_rng(0).random((3, 2, *shape)).astype(np.float32)
    wanted = ndimage.gaussian_filter(x.astype(np.float64), (0, 0, sigma, sigma), mode="reflect", truncate=4)
    np.testing.assert_allclose(smooth(torch.from_numpy(x), sigma).numpy(), wanted, atol=1e-5)


def test_sigma_zero_is_the_identity():
    """S3-D1."""
    x = pictures((1, 8, 8))
    assert torch.equal(discovery.spec("defense", "gaussian").bind({"sigma": 0})(nn.Identity()).filter(x, DRAWS), x)


@pytest.mark.parametrize("window", [(1, 1), (3, 3), (2, 2), (1, 2), (2, 3), (4, 4), (5, 1), (9, 9)])
def test_the_median_is_scipys_also_for_even_windows(window):
    """S4-D2: of each channel over height and width."""
    x = np.random.default_rng(0).random((3, 2, 6, 7)).astype(np.float32)
    wanted = ndimage.median_filter(x, (1, 1, *window), mode="reflect")
    np.testing.assert_array_equal(median(torch.from_numpy(x), *window).numpy(), wanted)


@pytest.mark.parametrize("text", ["100", "0", "2x100", "2x2x2", "-1", "x", "²"])
def test_a_window_of_less_than_a_hundred_pixels_a_side_is_one(text):
    assert (window("99"), window("1X99")) == ((99, 99), (1, 99))
    with pytest.raises(CommandError, match="is not a window"):
        window(text)


def test_a_median_of_one_by_two_is_paper_fours_dilation():
    """S4-D2: the larger of a pixel and its left neighbour."""
    x = pictures((1, 6, 6))
    left = torch.cat([x[..., :1], x[..., :-1]], 3)
    assert torch.equal(median(x, 1, 2), torch.maximum(x, left))


@pytest.mark.parametrize("bits", range(1, 9))
def test_bit_depth_rounds_to_its_grid_and_lets_the_gradient_through(bits):
    """S4-D2: r(x) = rint(x (2^b - 1)) / (2^b - 1)."""
    x = pictures((1, 6, 6)).requires_grad_()
    found = reduce_depth(x, bits)
    levels = 2**bits - 1
    np.testing.assert_allclose(found.detach().numpy(), np.rint(x.detach().numpy() * levels) / levels, atol=1e-6)
    found.sum().backward()
    assert (x.grad == 1).all()


def test_four_bits_are_not_the_identity_on_seventeen_grey_levels():
    """DG4: k/16 against k/15."""
    x = (torch.arange(17) / 16).view(1, 1, 1, 17)
    moved = (reduce_depth(x, 4) - x).abs()
    assert moved.max() > 0.02
    assert (moved > 0).sum() == 15


def test_expsum_is_the_papers_formula():
    """S1-D1: softmax of the log-sum-exp over the samples, by hand."""
    z = np.array([[1.0, 2.0, 0.5], [3.0, -1.0, 0.0]])
    wanted = np.exp(z).sum(0) / np.exp(z).sum()
    found = together(torch.tensor(z)[None], "expsum").softmax(1)[0]
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)
    other = together(torch.tensor(z)[None], "mean-prob").softmax(1)[0]
    np.testing.assert_allclose(other.numpy(), softmax(z, 1).mean(0), atol=1e-12)
    assert np.abs(wanted - softmax(z, 1).mean(0)).max() > 0.01


def test_expsum_is_stable_for_huge_logits():
    z = np.array([[[1e4, -1e4, 0.0], [9990.0, 9999.0, -1e4]]])
    found = together(torch.tensor(z), "expsum").softmax(1)
    np.testing.assert_allclose(found.numpy(), softmax(logsumexp(z, 1), 1), atol=1e-12)


def test_a_vote_counts_and_still_has_a_gradient():
    z = torch.tensor([[[2.0, 1.0], [0.0, 0.5], [0.0, 3.0]]], requires_grad=True)
    found = together(z, "vote")
    np.testing.assert_allclose(found.detach().numpy(), [[-0.5, 0.5]], atol=1e-6)  # the lead that completes the majority
    found[0, 0].backward()
    assert (z.grad != 0).any()
    for how in ("vote", "mean-prob"):  # also where all copies agree by far
        sure = torch.tensor([[[40.0, 0.0], [41.0, 0.0]]], requires_grad=True)
        torch.nn.functional.cross_entropy(together(sure, how), torch.tensor([0])).backward()
        assert torch.isfinite(sure.grad).all()
        logits = together(sure, how).detach()
        assert logits[0, 1] < -10


@pytest.mark.parametrize("how", ["expsum", "mean-prob", "mean-logit", "vote"])
def test_one_look_or_no_noise_is_the_undefended_model(how, halfspace):
    x = near_the_plane(5)
    plain = halfspace(x).softmax(1)
    for samples, width in ((1, 0.3), (7, 0.0)):
        model = Averaged(halfspace, samples, width, how)
        if how == "vote":
            assert torch.equal(model(x, DRAWS).argmax(1), plain.argmax(1))
        else:
            torch.testing.assert_close(model(x, DRAWS).softmax(1), plain, atol=1e-6, rtol=0)


def test_the_first_look_is_unperturbed_and_the_others_are_uniform():
    seen = []

    class Spy(Halfspace):
        def forward(self, x, draws=None):
            seen.append(x)
            return super().forward(x)

    x = torch.full((5, 3, 2, 2), 0.5)
    Averaged(Spy(), 200, 0.3, "expsum")(x, DRAWS)
    looks = seen[0].view(5, 200, -1)
    assert (looks[:, 0] == 0.5).all()
    noise = looks[:, 1:] - 0.5
    assert noise.abs().max() <= 0.3
    assert noise.min() < -0.29
    assert noise.max() > 0.29


def test_eot_averages_gradients_over_fresh_draws():
    model = Averaged(Small((1, 4, 4), 3), 4, 0.3, "expsum").requires_grad_(False)
    x, rng = pictures((1, 4, 4)), DRAWS

    def loss(logits):
        return logits[:, 1]

    singles = []
    victim = Victim(model, Tally(5), torch.arange(5), rng, eot=1)
    for _ in range(6):
        singles.append(victim.gradient(x, loss)[0])
    assert not torch.equal(singles[0], singles[1])
    averaged, _ = Victim(model, Tally(5), torch.arange(5), rng, eot=6).gradient(x, loss)
    torch.testing.assert_close(averaged, torch.stack(singles).mean(0), atol=1e-6, rtol=1e-5)


def test_a_noisy_copy_of_average_changes_every_pixel_by_at_most_eps_either_way():
    """Uniform on [-eps, eps]: its mean is 0 and its standard deviation eps / sqrt(3)."""
    model = Averaged(nn.Identity(), 4, 0.1, "expsum")
    noise = model.filter(torch.full((20, 3, 8, 8), 0.5), SampleRNG(0, torch.arange(20))) - 0.5
    assert noise.abs().max() <= 0.1 + 1e-6
    assert noise.min() < -0.099
    assert noise.max() > 0.099
    assert abs(float(noise.mean())) < 5 * 0.1 / 3**0.5 / noise.numel() ** 0.5
    assert float(noise.std()) == pytest.approx(0.1 / 3**0.5, rel=0.05)


def test_the_hidden_layers_of_a_stack_have_from_one_to_65536_units():
    assert widths("1, 65536,7") == [1, 65536, 7]
    for text in ("0", "65537", "4,", "x", "-1", "2.5"):
        with pytest.raises(CommandError, match="--hidden"):
            widths(text)
