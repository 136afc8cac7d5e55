"""The options of mim that make it transfer further: resampling, smoothing, scales, and what they cost."""

import pytest
import torch
from torch import nn

from advcli.numerics.rng import SampleRNG
from advcli.search.transfer import interpolation, shrunk, smoothed
from blobs import Bent, pictures
from conftest import attacked

OPTIONS = {
    "nesterov": {"nesterov": True},
    "diversity": {"diversity": 1.0},
    "translation": {"translation": 2},
    "scales": {"scales": 3},
    "all": {"nesterov": True, "diversity": 0.5, "translation": 1, "scales": 2},
}


def test_a_smaller_image_lies_on_black_and_its_gradient_is_that_of_autograd():
    x = torch.rand(3, 2, 10, 14, requires_grad=True)
    some = shrunk(x.shape, SampleRNG(0, torch.arange(3)), 1.0)
    weight = torch.rand(3, 2, 10, 14)
    (wanted,) = torch.autograd.grad((some(x) * weight).sum(), x)
    torch.testing.assert_close(some.back(weight), wanted)
    white = some(torch.ones(3, 2, 10, 14))
    assert (white.sum((1, 2, 3)) < 280).all(), "it became smaller"
    assert (white <= 1 + 1e-6).all()
    none = shrunk(x.shape, SampleRNG(0, torch.arange(3)), 0.0)
    assert torch.equal(none(x), x)
    half = interpolation(4, torch.tensor([0.5]), torch.tensor([1.0]))[0] @ torch.ones(4)
    assert half.tolist() == [0, 0, 1, 1], "all free room lies before it"


def test_a_gradient_is_smoothed_as_a_convolution_does_it():
    """arXiv:1904.02884: a kernel of 2 k + 1 pixels with the deviation k / sqrt(3), zeros outside."""
    gradient, reach = torch.randn(2, 3, 9, 7), 2
    line = torch.exp(-(torch.arange(-reach, reach + 1).float() ** 2) * 3 / (2 * reach**2))
    kernel = torch.outer(line, line) / line.sum() ** 2
    wanted = nn.functional.conv2d(gradient, kernel.expand(3, 1, 5, 5), padding=reach, groups=3)
    torch.testing.assert_close(smoothed(gradient, reach), wanted)


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_is_another_path_to_the_same_end_and_the_same_in_every_batch(name):
    model, x = Bent(), pictures(6)
    label, own = model(x).argmax(1), {"steps": 8, **OPTIONS[name]}
    plain = attacked("mim", model, x, label, "0.2", options={"steps": 8}, early_stop=False)
    whole = attacked("mim", model, x, label, "0.2", options=own, early_stop=False)
    small = attacked("mim", model, x, label, "0.2", options=own, early_stop=False, batch=2)
    assert (whole["images"] != plain["images"]).any()
    torch.testing.assert_close(torch.from_numpy(small["images"]), torch.from_numpy(whole["images"]), atol=1e-4, rtol=0)
    assert whole["success"].sum() >= plain["success"].sum() - 1
    elsewhere = name != "translation"
    assert set(whole["gradients"].tolist()) == {8 * own.get("scales", 1)}
    assert set(whole["queries"].tolist()) == {1 + 8 * elsewhere}, "each step asks for the point itself, too"


def test_the_gradient_of_scales_is_the_mean_over_the_divided_images():
    """On a linear model the copies' gradients are g / 2^k: the direction of all of them is that of one."""
    x = torch.full((1, 1, 4, 4), 0.5)

    class Plane(nn.Module):
        def forward(self, x, draws=None):
            s = ((x - 0.5).flatten(1) * torch.linspace(-1, 1, 16)).sum(1) - 0.1
            return torch.stack([-s, s], 1)

    label = torch.zeros(1, dtype=torch.int64)
    one, three = (attacked("mim", Plane(), x, label, "0.1", options={"objective": "logit", **o}) for o in ({}, {"scales": 3}))
    torch.testing.assert_close(torch.from_numpy(one["images"]), torch.from_numpy(three["images"]))
