"""Pixels on the 8-bit grid."""

import numpy as np

from advcli.numerics.arrays import Array


def as_bytes(pixels: Array) -> Array:
    """Pixels on the 8-bit grid as bytes."""
    found: Array = np.rint(pixels * 255).astype(np.uint8)
    return found
