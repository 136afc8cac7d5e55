"""A sheet of pictures with captions: what the set looks like."""

import numpy as np
from matplotlib.figure import Figure

from advcli.numerics.arrays import Array

ACROSS = 10


def sheet(pictures: Array, captions: list[str], signed: bool, title: str) -> Figure:
    """(N, C, H, W) pictures, ten in a row; signed ones red for more and blue for less, on one scale."""
    down = max(1, -(-len(pictures) // ACROSS))
    figure = Figure(figsize=(ACROSS * 0.9, down * 1.15 + 0.5), dpi=120, layout="constrained")
    figure.suptitle(title, fontsize=9)
    scale = float(np.abs(pictures).max(initial=0)) or 1.0
    grid = figure.subplots(down, ACROSS, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, picture, caption in zip(grid.flat, pictures, captions, strict=False):
        axes.set_title(caption, fontsize=7, pad=2)
        if picture.shape[0] != 3:
            one = picture.mean(0)
            axes.imshow(one, cmap="RdBu_r" if signed else "gray", vmin=-scale if signed else 0, vmax=scale if signed else 1)
        else:
            axes.imshow((picture / (2 * scale) + 0.5 if signed else picture).clip(0, 1).transpose(1, 2, 0))
    return figure
