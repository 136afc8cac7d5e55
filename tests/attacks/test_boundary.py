"""The boundary attack: how its steps adapt, and that they keep their distance."""

import pytest
import torch

from advcli.attacks import boundary as module
from advcli.attacks.boundary import FASTER, Pace, around
from advcli.numerics.rng import SampleRNG


@pytest.mark.parametrize(("well", "every", "factor"), [(True, 3, FASTER), (False, 6, 1 / FASTER)])
def test_a_step_grows_above_the_higher_share_shrinks_below_the_lower_and_counts_anew_from_the_middle(well, every, factor):
    """From 0.35 a running share of 0.9 and 0.1 passes 0.5 with the third success, and 0.2 with the sixth failure."""
    pace, both = Pace(0.05, 0.2, 0.5, torch.zeros(2, 1)), torch.arange(2)
    for number in range(1, 3 * every + 1):
        pace.saw(both[:1], torch.tensor([well]))
        assert pace.length.tolist() == pytest.approx([0.05 * factor ** (number // every), 0.05])


def test_a_length_stays_between_its_ends():
    pace = Pace(0.9, 0.1, 0.25, torch.zeros(1, 1))
    for _ in range(20):
        pace.saw(torch.arange(1), torch.tensor([True]))
    assert pace.length.tolist() == [1.0]


def test_a_step_along_the_sphere_keeps_the_distance_and_has_the_length_asked_for():
    original = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    point = (original + torch.randn(original.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    drawn, share = SampleRNG(0, torch.arange(4)).normal(3, 5, 5), torch.tensor([0.01, 0.05, 0.3, 1.0])
    beside = around(original, point, drawn, share)
    far = module.length(point - original)
    torch.testing.assert_close(module.length(beside - original), far)
    cosine = ((beside - original) * (point - original)).flatten(1).sum(1) / far**2
    torch.testing.assert_close(cosine, 1 / (1 + share**2).sqrt())  # orthogonal, then back onto the sphere
