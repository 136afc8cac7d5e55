"""Rows as windows say what rows of all coefficients say: sums, what lies outside the picture, and what is held whole."""

import pytest
import torch

from advcli.bounds.rows import Field, Rows

SHAPE = (2, 6, 7)  # of the layer
COUNT = 5


def windows(height: int, width: int, corner: torch.Tensor, seed: int = 0) -> Rows:
    draws = torch.Generator().manual_seed(seed)
    weight = torch.randn(COUNT, SHAPE[0], height, width, generator=draws, dtype=torch.float64)
    return Rows(torch.arange(COUNT), weight, corner)


def field() -> Field:
    return Field(torch.rand(COUNT, *SHAPE, generator=torch.Generator().manual_seed(9), dtype=torch.float64))


@pytest.mark.parametrize("apart", [(0, 0), (2, 1), (-1, 3), (-2, -2)])
def test_the_sum_of_windows_is_that_of_whole_rows(apart):
    """Where all pairs lie equally far from each other the sum is a window, too."""
    corner = torch.tensor([[0, 0], [1, 2], [-1, 1], [3, -1], [2, 2]])
    one, two = windows(3, 2, corner), windows(2, 4, corner + torch.tensor(apart), seed=1)
    found = one.plus(two, SHAPE)
    assert found.corner is not None
    torch.testing.assert_close(found.whole(SHAPE).weight, one.whole(SHAPE).weight + two.whole(SHAPE).weight)
    torch.testing.assert_close(found.total(field()), one.total(field()) + two.total(field()))
    scattered = windows(2, 4, torch.tensor([[0, 0], [0, 1], [1, 0], [2, 2], [0, 3]]), seed=1)
    whole = one.plus(scattered, SHAPE)
    torch.testing.assert_close(whole.weight, one.whole(SHAPE).weight + scattered.whole(SHAPE).weight)


@pytest.mark.parametrize(("size", "held"), [((3, 3), "window"), ((6, 7), "whole"), ((7, 6), "whole"), ((5, 8), "window")])
def test_windows_are_cut_to_the_picture_and_held_whole_where_they_are_no_smaller(size, held):
    rows = windows(*size, torch.tensor([[0, 0], [-1, -2], [4, 5], [-2, 1], [1, -1]]))
    found = rows.inside(SHAPE)
    assert (found.corner is None) == (held == "whole")
    torch.testing.assert_close(found.whole(SHAPE).weight, rows.whole(SHAPE).weight)
    torch.testing.assert_close(
        found.total_of_shared(torch.ones(SHAPE, dtype=torch.float64), SHAPE), rows.whole(SHAPE).weight.sum((1, 2, 3))
    )
    torch.testing.assert_close(found.total(field()), rows.total(field()))
