"""The certificate is about float32 as it runs: whatever order its sums are taken in, it stays inside the bounds."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from advcli.bounds import interval
from advcli.bounds.certify import misread
from advcli.bounds.interval import intervals
from advcli.bounds.reading import read
from advcli.bounds.rounding import UNIT, gamma
from advcli.networks.classifier import Classifier

SHAPE = (3, 8, 8)


def cancelling(seed):
    """A network whose sums are large and cancel: its float32 answers are off in the fourth digit."""
    draws = torch.Generator().manual_seed(seed)
    conv, last = nn.Conv2d(3, 16, 3, padding=1), nn.Linear(1024, 3)
    with torch.no_grad():
        for one in (conv.weight, last.weight):
            one.copy_(torch.randn(one.shape, generator=draws) * 100)
        conv.bias.copy_(1000 * torch.randn(16, generator=draws))
    network = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), last)
    return Classifier(network, [0.5] * 3, [0.01] * 3, shape=SHAPE, classes=3).eval().requires_grad_(False)


def answers(model, x):
    """Float32 logits by sums in different orders: batches, layouts, and the last layer's numbers shuffled."""
    yield model(x)
    yield torch.cat([model(one[None]) for one in x])
    model.network[0].to(memory_format=torch.channels_last)
    yield model(x.contiguous(memory_format=torch.channels_last))
    hidden = model.network[:3]((x - model.mean) / model.std)
    last = model.network[3]
    for seed in range(4):
        order = torch.randperm(hidden.shape[1], generator=torch.Generator().manual_seed(seed))
        yield nn.functional.linear(hidden[:, order], last.weight[:, order], last.bias)
        yield sum(hidden[:, k, None] * last.weight[:, k] for k in order.tolist()) + last.bias


def test_float32_logits_lie_within_the_bounds_at_a_point_and_exact_ones_alone_would_not_do(monkeypatch):
    apart, outside = 0.0, 0
    for seed in range(3):
        model = cancelling(seed)
        x = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(seed))
        graph = read(model)
        box, exact = intervals(graph, x.double(), x.double()), graph.forward(x)
        with monkeypatch.context() as patch:
            patch.setattr(interval, "gamma", lambda terms, **more: 0.0)
            bare = intervals(graph, x.double(), x.double())
        for logits in answers(model, x):
            found = logits.double()
            assert (found >= box.low[-1]).all()
            assert (found <= box.high[-1]).all()
            apart = max(apart, float((found - exact).abs().max()))
            outside += int(((found < bare.low[-1]) | (found > bare.high[-1])).sum())
    assert apart > 1
    assert outside > 50, "without the slack the float32 answers lie outside"
    assert not misread(graph, model, x)


def test_gamma_covers_sums_in_every_order_against_exact_fractions():
    """|float32 sum - exact sum| <= gamma_n sum |w x|, forwards, backwards and in pairs, on sums that cancel."""
    draws = torch.Generator().manual_seed(0)
    share = 0.0
    for size in (2, 7, 64, 500):
        for _ in range(10):
            w, x = (torch.randn(size, generator=draws) for _ in range(2))
            w[size // 2 :] = -w[: size - size // 2] * (1 + 1e-6)
            x[size // 2 :] = x[: size - size // 2].clone()
            terms = [Fraction(float(a)) * Fraction(float(b)) for a, b in zip(w, x, strict=True)]
            exact, sizes = sum(terms), sum(abs(one) for one in terms)
            products = w * x
            forwards, backwards = torch.zeros(()), torch.zeros(())
            for k in range(size):
                forwards, backwards = forwards + products[k], backwards + products[size - 1 - k]
            for found in (forwards, backwards, products.sum(), w @ x):
                off = abs(Fraction(float(found)) - exact)
                assert off <= Fraction(gamma(size)) * sizes
                share = max(share, float(off / sizes) / UNIT)
    assert share > 1, "some sum is off by more than one rounding"


@pytest.mark.parametrize("terms", [1, 10, 100_000])
def test_tensor_cores_are_allowed_their_shorter_factors(terms):
    assert gamma(terms, tensor_cores=True) > 2**-11 * 2 > gamma(10)
    assert gamma(terms) >= terms * UNIT
