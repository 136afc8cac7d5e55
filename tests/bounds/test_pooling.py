"""Bounds of maxima, at random points of random intervals; and what is known of a window is used."""

import pytest
import torch

from advcli.bounds.pooling import MaxPool
from advcli.bounds.rows import Rows

POOLS = [
    MaxPool((2, 2), (2, 2)),
    MaxPool((3, 3), (2, 2), (1, 1)),
    MaxPool((3, 2), (1, 2), (1, 0), (1, 2)),
    MaxPool((3, 3), (2, 2), (1, 1), ceil=True),
    MaxPool((1, 1), (1, 1)),
]


def intervals(seed):
    draws = torch.Generator().manual_seed(seed)
    one, two = torch.randn(2, 2, 3, 6, 7, dtype=torch.float64, generator=draws)
    equal = torch.rand(one.shape, generator=draws) < 0.2  # some values are known
    return torch.minimum(one, two), torch.where(equal, torch.minimum(one, two), torch.maximum(one, two))


@pytest.mark.parametrize("pool", POOLS)
def test_maxima_lie_between_their_bounds(pool):
    for seed in range(5):
        low, high = intervals(seed)
        found = pool.weights(low, high)
        for step in range(60):
            share = torch.rand(low.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
            z = low + (high - low) * (share.round() if step % 2 else share)  # corners, and points within
            values, true = pool.windows(z, 0.0), pool.forward(z)
            assert ((values * found.below).sum(2) <= true + 1e-12).all()
            assert ((values * found.above).sum(2) + found.offset >= true - 1e-12).all()


@pytest.mark.parametrize("pool", POOLS)
def test_a_value_that_is_the_maximum_for_certain_is_taken_as_it_is(pool):
    low, high = intervals(0)
    high = torch.where(torch.rand(low.shape, generator=torch.Generator().manual_seed(1)) < 0.9, low - 3, high)
    low = torch.minimum(low, high)
    settled = ~pool.rivals(low, high).any(2)
    found = pool.weights(low, high)
    assert settled.any()
    same = (found.below == found.above).all(2)
    assert same[settled].all()
    assert (found.offset[settled].abs() < 1e-12).all()


@pytest.mark.parametrize("pool", POOLS)
def test_rows_go_back_to_the_values_that_the_windows_hold(pool):
    """Against the gradient of the same sum of windows' values."""
    draws = torch.Generator().manual_seed(2)
    x = torch.randn(1, 3, 6, 7, dtype=torch.float64, generator=draws).requires_grad_()
    windows = pool.windows(x, 0.0)
    parts = torch.randn(windows.shape, dtype=torch.float64, generator=draws)
    (slope,) = torch.autograd.grad((windows * parts).sum(), x)
    rows = Rows(torch.zeros(1, dtype=torch.int64), torch.zeros(1, *windows.shape[1:2], *windows.shape[3:]).double())
    found = pool.backward(rows, list(parts.unbind(2)), (3, 6, 7))
    assert torch.allclose(found.weight, slope)
