"""MagNet: what its detectors measure, what it classifies, how it is fitted, and that attacks which go through it succeed."""

import json

import numpy as np
import pytest
import torch
from scipy.spatial import distance
from scipy.special import softmax

from advcli.catalog import discovery
from advcli.defenses.magnet import Autoencoder, divergence, read
from advcli.errors import CommandError
from advcli.networks import model_file
from advcli.networks.fitting_batch import FittingBatch
from advcli.networks.rejection import split
from advcli.numerics.rng import SampleRNG
from small_networks import Bright, Small, pictures


def magnet(base, **options):
    torch.manual_seed(1)
    return discovery.spec("defense", "magnet").bind(options)(base, (1, 8, 8), 4).eval().requires_grad_(False)


def batch(x):
    return FittingBatch(x, torch.zeros(len(x), dtype=torch.int64), SampleRNG(0, torch.arange(len(x))), [])


def test_the_divergence_is_jensens_and_shannons():
    """S3-D4: between F(x)/T and F(A(x))/T, for T of 10 and 40."""
    first, second = np.random.default_rng(0).normal(0, 9, (2, 5, 7))
    for temperature in (1, 10, 40):
        wanted = distance.jensenshannon(softmax(first / temperature, 1), softmax(second / temperature, 1), axis=1) ** 2
        found = divergence(torch.from_numpy(first), torch.from_numpy(second), temperature)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-9)
    far = torch.tensor([[1e4, 0.0]])
    torch.testing.assert_close(divergence(far, far.flip(1), 1), torch.tensor([np.log(2)]))


def test_the_detectors_are_errors_and_divergences_in_units_of_their_spread():
    """S3-D4: the score is the largest of the detectors."""
    base, x = Small((1, 8, 8), 4).eval(), pictures((1, 8, 8))
    model = magnet(base, detectors="l2,jsd:10,l1")
    model.learned.mean[:] = torch.tensor([0.1, 0.0, 0.2])
    model.learned.variance[:] = torch.tensor([4.0, 1e-4, 0.25])
    error = (x - model.learned(x)).flatten(1).double()
    each = [error.square().mean(1), divergence(base(x), base(model.learned(x)), 10), error.abs().mean(1)]
    wanted = torch.stack([(each[0] - 0.1) / 2, each[1] / 0.01, (each[2] - 0.2) / 0.5]).amax(0)
    torch.testing.assert_close(model.score(x)[0], wanted.float())


def test_the_restored_image_is_classified_or_the_image_itself():
    """S3-D4: both rejects and restores, detect rejects alone."""
    base, x = Small((1, 8, 8), 4).eval(), pictures((1, 8, 8))
    both, detect = magnet(base), magnet(base, mode="detect")
    assert torch.equal(both(x)[:, :4], base(both.learned(x)))
    assert torch.equal(detect(x)[:, :4], base(x))
    torch.testing.assert_close(both.score(x)[0], detect.score(x)[0])
    below = magnet(Bright(base, 0.4), mode="detect")
    assert torch.equal(split(below(x), rejects=True)[1] > 0, x.flatten(1).mean(1) > 0.4), "a detector below it is kept"


def test_the_loss_is_the_distance_from_the_clean_image_and_the_scores_are_followed():
    x = pictures((1, 8, 8), 50)
    model = magnet(Small((1, 8, 8), 4).eval(), noise=0)
    with torch.no_grad():
        loss = model.fitting_loss(x, batch(x))
        torch.testing.assert_close(loss, (model.learned(x) - x).square().flatten(1).sum(1))
        noisy = magnet(Small((1, 8, 8), 4).eval(), noise=0.5).fitting_loss(x, batch(x))
    assert (loss != noisy).all()
    found = model.learned.mean.clone()
    seen = torch.stack([(x - model.learned(x)).abs().flatten(1).mean(1), (x - model.learned(x)).square().flatten(1).mean(1)])
    torch.testing.assert_close(found[:2].float(), seen.mean(1))
    coder = Autoencoder(1, 2, 1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        coder.record(3 + 2 * torch.randn(100, 1, generator=generator, dtype=torch.float64))
    assert float(coder.mean) == pytest.approx(3, abs=0.15)
    assert float(coder.variance) == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("text", ["l3", "jsd", "jsd:0", "jsd:1001", "l1:2", "l1,,l2", "jsd:x"])
def test_detectors_are_errors_and_temperatures(text):
    assert read("l1, l2,jsd:40") == [1.0, 2.0, -40.0]
    with pytest.raises(CommandError, match="--detectors"):
        read(text)


def test_it_sees_plain_attacks_and_is_broken_by_one_that_goes_through_it(run, model):
    """S3-D4: fitted on clean images alone, and attacked by static, transferred (grey-box) and white-box attacks."""
    words = ("defend", "--method", "magnet", "--epochs", "4", "--fpr", "0.05")
    assert run(*words, "-o", "magnet.safetensors").code == 0
    kept = model_file.read("magnet.safetensors")
    first = kept.path.read_bytes()
    said = json.loads(run("show", "magnet.safetensors", "--json").out)[0]["command"]
    assert "--against" not in said
    kept.path.unlink()
    assert run(*said.split()[1:]).code == 0
    assert kept.path.read_bytes() == first
    ran = run(*words, "--against", "fgsm")
    assert (ran.code, "has no option --against" in ran.err) == (2, True)
    budget = ("--eps", "0.3", "--limit", "100")
    assert run("attack", "--method", "fgsm", *budget, "-o", "static.h5").code == 0
    assert run("attack", "--model", "magnet.safetensors", *budget, "-o", "adaptive.h5").code == 0
    assert run("verify", "adaptive.h5", "--model", "magnet.safetensors").code == 0
    said = run("evaluate", "--model", "magnet.safetensors", "static.h5", "adaptive.h5", "--metric", "success", "--json")
    rows = [row for row in json.loads(said.out)["rows"] if row["metric"] == "success"]
    assert [row["threat"]["knowledge"] for row in rows] == ["static", "adaptive"]
    static, adaptive = (row["value"] for row in rows)
    assert static < 0.8 < 0.9 < adaptive
