"""Images and perturbations as the colours of a picture, several of them on one scale."""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from advcli.numerics.arrays import Array

SIGNED = "RdBu_r"


def coloured(image: Array, scale: float | None = None) -> Array:
    """(H, W, 3) the colours of an image (C, H, W); of a perturbation red (more) and blue (less), `scale` the darkest of them.

    A perturbation with three channels is drawn around grey, each channel on its own.
    """
    if image.shape[0] == 3:
        shown = image.transpose(1, 2, 0)
        found: Array = (shown if scale is None else shown / (2 * scale) + 0.5).clip(0, 1)
        return found
    grey = image.mean(0)
    if scale is None:
        return np.repeat(grey.clip(0, 1)[:, :, None], 3, 2)
    return np.asarray(mpl.colormaps[SIGNED](Normalize(-scale, scale)(grey)))[:, :, :3]


def bar(axes: Axes | list[Axes], label: str, scale: float | None, channels: int) -> None:
    """The colour bar of such images beside their axes; those of three channels have none."""
    first = axes[0] if isinstance(axes, list) else axes
    if channels == 3:
        return
    shades, norm = ("gray", Normalize(0, 1)) if scale is None else (SIGNED, Normalize(-scale, scale))
    first.figure.colorbar(ScalarMappable(norm, shades), ax=axes, label=label, shrink=0.8, aspect=25, pad=0.02)


def told(scale: float | None, channels: int) -> str:
    """The scale of perturbations with three channels, which has no colour bar."""
    if scale is None or channels != 3:
        return ""
    return f"\neach channel from −{scale:.3g} (dark) over 0 (half bright) to +{scale:.3g} (bright)"


def largest(images: list[Array]) -> float:
    """The scale on which no value of these is cut off."""
    return max((float(np.abs(one).max(initial=0)) for one in images), default=0.0) or 1.0
