"""Arrays of images in other layouts than (N, C, H, W)."""

import numpy as np
import pytest

from advcli.datasets import npz
from advcli.errors import InputError


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (2, 3, 8, 8), (2, 1, 8, 1), (2, 3, 9, 3), (2, 5, 8, 8), (2, 4, 8, 2)], ids=str)
def test_channels_first_are_taken_as_they_are(shape):
    assert npz.checked_images("x.npz", "x", np.zeros(shape, np.float32)).shape == shape


@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (2, 8, 8, 3), (2, 4, 3, 3)], ids=str)
def test_channels_last_are_refused_with_the_way_on(shape):
    with pytest.raises(InputError, match=r"channels last.*transpose\(0, 3, 1, 2\)"):
        npz.checked_images("x.npz", "x", np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(2, 8), (2, 1, 1, 8, 8), (2, 0, 8, 8), (2, 1, 8, 0)], ids=str)
def test_what_is_no_stack_of_pictures_is_refused(shape):
    with pytest.raises(InputError, match="expected \\(N, C, H, W\\)"):
        npz.checked_images("x.npz", "x", np.zeros(shape, np.float32))


def test_a_stack_without_channels_has_one():
    assert npz.checked_images("x.npz", "x", np.zeros((2, 8, 9), np.uint8)).shape == (2, 1, 8, 9)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("name", ["classes", "split", "kind"])
def test_numbers_that_are_no_characters_are_refused(name, order):
    codes = np.array([ord("a"), 0x110000], f"{order}u4")
    arrays = {"images": np.zeros((2, 1, 4, 4), np.float32), "labels": np.arange(2), name: codes.view(f"{order}U1")}
    with pytest.raises(InputError, match=f"x.npz: {name} holds broken text"):
        npz.checked_arrays("x.npz", "", arrays)
