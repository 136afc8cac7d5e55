"""A pass over a set: every image once, with draws that do not depend on how many come at a time."""

import numpy as np
import pytest
import torch

from advcli.images.passes import passes
from advcli.numerics.rng import Purpose, SampleRNG

PIXELS = torch.linspace(0, 1, 11 * 4).view(11, 1, 2, 2)
IDS = np.arange(11) * 7 % 11


@pytest.mark.parametrize("size", [1, 4, 11, 50])
def test_every_image_comes_once_with_its_own_draws(size):
    found = list(passes(lambda a, b: PIXELS[a:b], IDS, size, torch.device("cpu"), 3, (Purpose.EVALUATE, "1")))
    assert [one.places.start for one in found] == list(range(0, 11, size))
    torch.testing.assert_close(torch.cat([one.x for one in found]), PIXELS, rtol=0, atol=0)
    assert torch.cat([one.ids for one in found]).tolist() == IDS.tolist()
    drawn = torch.cat([one.draws.uniform(3) for one in found])
    torch.testing.assert_close(drawn, SampleRNG(3, torch.from_numpy(IDS), ("evaluate", "1")).uniform(3), rtol=0, atol=0)


def test_no_image_is_no_part():
    assert not list(passes(lambda a, b: PIXELS[a:b], IDS[:0], 4, torch.device("cpu"), 0, (Purpose.FILTER,)))


def test_no_two_purposes_share_their_draws():
    ids = torch.arange(3)
    drawn = {tuple(SampleRNG(0, ids, (one,)).bits(4).flatten().tolist()) for one in Purpose}
    assert len(drawn) == len(Purpose)
