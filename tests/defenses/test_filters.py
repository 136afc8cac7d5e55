"""Filters of frequencies and of compression: JPEG against Pillow, masks against NumPy, and attacks that go through."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import nn

from advcli.catalog import discovery
from advcli.defenses.highpass import high
from advcli.defenses.jpeg import CHROMINANCE, LUMINANCE, compressed, quantised, steps
from advcli.defenses.lowpass import low
from advcli.errors import CommandError
from advcli.numerics.fourier import low_mask
from conftest import attacked
from small_networks import Small

MASKS = ("ideal", "gaussian", "butterworth")
SIZES = [(1, 28, 28), (3, 32, 32), (3, 12, 20), (1, 13, 5), (3, 35, 33), (3, 7, 3), (3, 1, 7), (1, 1, 1)]


def photographs(shape, kind):
    """Bytes: noise, something smooth, or one colour."""
    rng = np.random.default_rng(sum(shape))
    if kind == "flat":
        return np.broadcast_to(rng.integers(0, 256, (6, shape[0], 1, 1), np.uint8), (6, *shape)).copy()
    x = rng.random((6, *shape))
    if kind == "smooth":
        x = ndimage.gaussian_filter(x, (0, 0, 1.5, 1.5))
        x = (x - x.min()) / max(1e-9, x.max() - x.min())
    return np.rint(x * 255).astype(np.uint8)


def pillows(pixels, quality, chroma):
    found = []
    for one in pixels:
        file, grey = io.BytesIO(), len(one) == 1
        more = {} if grey else {"subsampling": {"half": "4:2:0", "full": "4:4:4"}[chroma]}
        Image.fromarray(one[0] if grey else one.transpose(1, 2, 0)).save(file, "JPEG", quality=quality, **more)
        back = np.asarray(Image.open(file))
        found.append(back[None] if grey else back.transpose(2, 0, 1))
    return np.stack(found)


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 95, 100])
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_jpeg_is_pillows_to_the_byte(shape, quality):
    for kind in ("noise", "smooth", "flat"):
        pixels = photographs(shape, kind)
        for chroma in ("half", "full"):
            found = compressed(torch.from_numpy(pixels).float() / 255, quality, chroma)
            assert found.dtype == torch.float32
            np.testing.assert_array_equal((found * 255).round().numpy(), pillows(pixels, quality, chroma))


@pytest.mark.parametrize("quality", [5, 50, 80])
def test_the_quantisation_steps_are_pillows(quality):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
    for base, theirs in zip((LUMINANCE, CHROMINANCE), Image.open(file).quantization.values(), strict=True):
        assert steps(base, quality, torch.zeros(())).flatten().int().tolist() == list(theirs)


def test_jpeg_gives_the_same_bits_in_any_batch_and_with_a_gradient():
    x = torch.rand(9, 3, 20, 12, generator=torch.Generator().manual_seed(0))
    whole = compressed(x, 60, "half")
    assert torch.equal(whole, torch.cat([compressed(x[k : k + 1], 60, "half") for k in range(9)]))
    assert torch.equal(whole, compressed(x.clone().requires_grad_(), 60, "half").detach())
    assert compressed(x[:0], 60, "half").shape == (0, 3, 20, 12)


def test_jpeg_rounds_a_picture_that_is_not_of_bytes():
    """What a file can hold: the nearest bytes."""
    pixels = photographs((1, 16, 16), "noise")
    exact = torch.from_numpy(pixels).double() / 255
    moved = (exact + 0.49 / 255 * torch.sign(0.5 - exact)).float()
    assert torch.equal(compressed(moved, 75, "half"), compressed(exact.float(), 75, "half"))


def test_quantisation_rounds_halves_away_from_zero_and_has_a_slope_of_one_on_average():
    at = torch.linspace(-3.5, 3.5, 7001, dtype=torch.float64)
    x = (at * 16).requires_grad_()
    found = quantised(x, torch.tensor(16.0, dtype=torch.float64))
    np.testing.assert_array_equal(found.detach().numpy(), (at.sign() * (at.abs() + 0.5).floor()).numpy())
    found.sum().backward()
    slope = x.grad * 16
    distance = at - found.detach()
    torch.testing.assert_close(slope, 0.5 + 6 * distance**2, atol=1e-9, rtol=0)
    assert slope.mean() == pytest.approx(1, abs=1e-3)


def test_jpegs_gradient_reaches_pixels_at_the_end_of_the_range():
    x = torch.zeros(1, 1, 16, 16)
    x[:, :, 4:12, 4:12] = 1
    x.requires_grad_()
    compressed(x, 30, "half").sum().backward()
    assert (x.grad != 0).all()


def test_jpeg_knows_grey_and_colour_only():
    with pytest.raises(CommandError, match="2 channels"):
        compressed(torch.rand(1, 2, 8, 8), 75, "half")


@pytest.mark.parametrize(("radius", "removed"), [(-1, 0), (0, 1), (1, 5), (2, 13), (3, 29), (5, 81)])
def test_an_ideal_mask_removes_the_counted_coefficients(radius, removed):
    """S3-D2: R <= r on 28x28, of all 784."""
    half = 1 - low_mask((28, 28), radius, "ideal")
    rows, columns = np.indices((28, 28))
    far = np.hypot(np.minimum(rows, 28 - rows), np.minimum(columns, 28 - columns))
    whole = np.where(far <= radius, 0.0, 1.0)
    np.testing.assert_array_equal(half.numpy(), whole[:, :15])
    assert (whole == 0).sum() == removed


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (5, 13), (7, 49), (1, 7)], ids=str)
@pytest.mark.parametrize("mask", MASKS)
def test_filters_are_numpys(mask, shape):
    x = np.random.default_rng(0).random((2, 3, *shape)).astype(np.float32)
    places = [np.fft.fftfreq(n, 1 / n).round() for n in shape]
    far2 = places[0][:, None] ** 2 + places[1][None] ** 2
    for radius in (0.5, 2.0, 5.0):
        laws = {
            "ideal": far2 <= radius**2,
            "gaussian": np.exp(-far2 / 2 / radius**2),
            "butterworth": 1 / (1 + (far2 / radius**2) ** 2),
        }
        wanted = np.fft.ifft2(np.fft.fft2(x.astype(np.float64)) * laws[mask]).real
        np.testing.assert_allclose(low(torch.from_numpy(x), radius, mask).numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("radius", [-1.0, 0.0, 0.7, 1.0, 4.0, 100.0])
def test_low_and_high_together_are_the_picture(mask, radius):
    """S3-D2: to 1e-5; a radius below zero is the identity."""
    x = torch.rand(3, 3, 12, 20, generator=torch.Generator().manual_seed(0))
    both = low(x, radius, mask) + high(x, radius, mask, keep_dc=False)
    torch.testing.assert_close(both, x, atol=1e-5, rtol=0)
    if radius < 0:
        torch.testing.assert_close(high(x, radius, mask, keep_dc=False), x, atol=1e-6, rtol=0)
    mean = high(x, radius, mask, keep_dc=True).mean((2, 3))
    torch.testing.assert_close(mean, x.mean((2, 3)), atol=1e-6, rtol=0)
    if radius >= 0 and mask != "gaussian":
        assert high(x, 0.0, mask, keep_dc=False).mean((2, 3)).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["lowpass", "highpass"])
def test_the_gradient_of_a_mask_is_exact(name):
    rule = discovery.spec("defense", name).bind({"radius": 2, "shape": "gaussian"})(nn.Identity()).keep
    x = torch.rand(1, 1, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(rule, x)


SPECS = {
    "jpeg": "jpeg:quality=50", "lowpass": "lowpass:radius=3", "highpass": "highpass:radius=1,shape=gaussian,keep-dc",
    "tv": "tv:weight=0.1,steps=5", "resize-pad": "resize-pad:smallest=0.8", "transform": "transform:noise=0.05,contrast=0.8",
}  # fmt: skip


@pytest.mark.parametrize("name", SPECS)
def test_a_filter_trains_is_attacked_and_filters_files_where_it_leaves_pictures(run, model, name):
    assert run("attack", "--method", "fgsm", "--eps", "0.2", "--limit", "20").code == 0
    ran = run("defend", "--method", name, "adversarial.h5")
    if name == "highpass":
        assert ran.code == 2
        assert "give --model" in ran.err
    else:
        assert ran.code == 0, ran.err
        assert run("evaluate", "adversarial.filtered.h5").code == 0
    assert run("train", "--preprocess", SPECS[name], "--epochs", "2", "--limit", "300", "-o", "trained.safetensors").code == 0
    assert run("evaluate", "--model", "trained.safetensors", "--data", "digits", "--limit", "9").code == 0
    ran = run("attack", "--model", "trained.safetensors", "--method", "pgd", "--steps", "2", "--limit", "9", "-o", "through.h5")
    assert ran.code == 0, ran.err
    assert run("verify", "through.h5").code == 0
    row = json.loads(run("evaluate", "through.h5", "--model", "trained.safetensors", "--json").out)["rows"][0]
    assert row["threat"]["knowledge"] == "adaptive"


@pytest.mark.parametrize("words", [["--quality", "0"], ["--quality", "101"], ["--chroma", "third"], ["--radius", "3"]])
def test_garbage_is_refused(run, model, words):
    assert run("defend", "--method", "jpeg", *words).code == 2


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("jpeg", {"quality": 20}),
        ("lowpass", {"radius": 3}),
        ("highpass", {"radius": 1}),
        ("tv", {"weight": 0.1}),
        ("squeeze", {"nlm": "5-3-60"}),
    ],
)
def test_an_attack_through_the_filter_is_stronger_than_one_past_it(name, options):
    base = Small((1, 16, 16), 5).eval().requires_grad_(False)
    x = torch.rand(60, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    model = discovery.spec("defense", name).bind(options)(base).eval()
    label = model(x).argmax(1)
    kept = {}
    for knowledge, victim in {"static": base, "adaptive": model}.items():
        made = attacked("pgd", victim, x, label, "0.03", options={"steps": 20}, early_stop=False)
        with torch.no_grad():
            kept[knowledge] = int((model(torch.from_numpy(made["images"])).argmax(1) == label).sum())
    assert kept["adaptive"] < kept["static"]
