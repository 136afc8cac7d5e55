"""Photographs are turned as their EXIF says, and a damaged EXIF is no reason to refuse a picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli.images.decoder import decode

UPRIGHT = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
STORED = {  # how a camera stores the upright picture, by the EXIF standard: which side of it is the first row, which the first column
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: UPRIGHT.T[::-1],
    7: UPRIGHT.T[::-1, ::-1],
    8: UPRIGHT.T[:, ::-1],
}


@pytest.mark.parametrize("orientation", sorted(STORED))
def test_a_picture_stands_upright(folder, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation])).save("a.png", exif=exif)
    (found,) = decode(["a.png"], "L", (None, None), None)
    np.testing.assert_array_equal(found[0], UPRIGHT)


@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"MM\0*"])
def test_a_damaged_exif_changes_nothing(folder, exif):
    Image.fromarray(UPRIGHT).save("a.jpg", quality=100)
    plain = decode([Path("a.jpg")], "L", (None, None), None)[0]
    Image.fromarray(UPRIGHT).save("b.jpg", quality=100, exif=exif)
    np.testing.assert_array_equal(decode(["b.jpg"], "L", (None, None), None)[0], plain)
