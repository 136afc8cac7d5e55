"""Crops and mirrors: every shift of an eighth comes as often, and no other."""

import numpy as np
import torch
from scipy import stats

from advcli.numerics.rng import SampleRNG
from advcli.training.augmentation import moved

RNG = SampleRNG(0, torch.arange(900))
PLACES = (torch.arange(8 * 16) + 1.0).view(1, 1, 8, 16).expand(900, 1, 8, 16)


def test_every_shift_of_an_eighth_comes_as_often():
    middle = moved(PLACES, ("crop",), RNG)[:, 0, 4, 8].long() - 1
    down, across = middle // 16 - 4, middle % 16 - 8
    for found, most in ((down, 1), (across, 2)):
        values, counts = np.unique(found.numpy(), return_counts=True)
        assert values.tolist() == list(range(-most, most + 1))
        assert stats.chisquare(counts).pvalue > 1e-3


def test_what_comes_in_from_outside_is_black_and_the_rest_is_moved_whole():
    found = moved(PLACES, ("crop",), RNG)
    for picture, place in zip(found[:50, 0], (found[:50, 0, 4, 8].long() - 1).tolist(), strict=True):
        wide = torch.nn.functional.pad(PLACES[0, 0], (2, 2, 1, 1))
        top, left = place // 16 - 4 + 1, place % 16 - 8 + 2
        assert torch.equal(picture, wide[top : top + 8, left : left + 16])


def test_half_of_the_pictures_are_mirrored():
    found = moved(PLACES, ("flip",), RNG)
    mirrored = (found == PLACES.flip(3)).flatten(1).all(1)
    assert ((found == PLACES).flatten(1).all(1) | mirrored).all()
    assert stats.binomtest(int(mirrored.sum()), 900).pvalue > 1e-3
