"""Pictures in lines on one pair of axes, with captions that fit: the form of every figure of images.

Sizes are in inches, so that a figure is at most as wide as a page. A signed picture, a perturbation, is shown as
p / (2 scale) + 1/2: grey ones from blue over white to red, each channel of coloured ones from dark over half bright to bright.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import east_asian_width

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from advcli.evaluation.drawing import shortened
from advcli.files.imageset_reader import ImageSet
from advcli.numerics.arrays import Array

PAGE, COLUMN = 6.9, 3.4  # inches: the widest grid, and the narrowest figure
TALLEST = 8.0  # of one block of lines
LARGEST, SMALLEST = 1.3, 0.42  # sides of a picture
MARGIN = 0.75  # for the labels of lines
POINTS, LABEL_POINTS, TITLE_POINTS = 6.5, 7.0, 9.0
EMS = {"ijlI.,:;'|! ": 0.31, "frt()[]/-": 0.4, "→": 0.84, "mwMW@%…": 0.98}  # widths of characters, of the font size
EM = 0.61  # of all others
FILLED = 0.94  # of its place that a picture takes
FRAME = "#D55E00"  # vermilion, of Okabe and Ito


@dataclass(frozen=True)
class Tile:
    """One picture, (C, H, W), and the words over it; `scale` is the largest value of signed pictures."""

    picture: Array
    words: tuple[str, ...] = ()
    framed: bool = False
    scale: float | None = None


@dataclass(frozen=True)
class Line:
    """Tiles side by side; None leaves a place free."""

    tiles: Sequence[Tile | None]
    label: str = ""


@dataclass(frozen=True)
class Grid:
    """Lines of tiles, and the side of each tile in inches."""

    lines: Sequence[Line]
    side: float

    @property
    def across(self) -> int:
        return max([len(line.tiles) for line in self.lines], default=0)

    @property
    def margin(self) -> float:
        """Inches left of the tiles."""
        return MARGIN if any(line.label for line in self.lines) else 0.0

    @property
    def width(self) -> float:
        return self.margin + self.across * self.side

    @property
    def height(self) -> float:
        return sum(self.line_height(line) for line in self.lines)

    def line_height(self, line: Line) -> float:
        """Inches from the top of a line's captions to the next line."""
        shown = [tile for tile in line.tiles if tile]
        most = max([fitted(tile.words, self.side).count("\n") + 1 for tile in shown if tile.words], default=0)
        tall = max([_sides(tile.picture)[0] for tile in shown], default=1.0)
        return tall * self.side + most * POINTS * 1.2 / 72 + 0.05


def side_of(lines: int, across: int, *, labels: bool = True, captions: int = 2) -> float:
    """The side of a tile with which so many lines fit on a page, if tiles do not become too small to see."""
    wide = (PAGE - MARGIN * labels) / max(1, across)
    tall = TALLEST / max(1, lines) - captions * POINTS * 1.2 / 72 - 0.05
    return float(np.clip(min(wide, tall), min(SMALLEST, wide), LARGEST))


def plain(name: str, most: int = 40) -> str:
    """A name on one line."""
    return shortened(" ".join(name.split()), most)


def fitted(words: Sequence[str], side: float) -> str:
    """Words side by side where they fit over a picture, otherwise one to a line, shortened."""
    short = [_cut(" ".join(word.split()), side) for word in words]
    return (" " if _inches(" ".join(short)) <= side else "\n").join(short)


def _cut(word: str, side: float) -> str:
    """As much of a word as fits, with a little room to its neighbour."""
    if _inches(word) <= side:
        return word
    while len(word) > 2 and _inches(f"{word}…") > side - 0.03:
        word = word[:-1]
    return f"{word.rstrip()}…"


def _inches(text: str) -> float:
    """The width of a caption."""
    ems = sum(
        2 * EM if east_asian_width(one) in "WF" else next((w for some, w in EMS.items() if one in some), EM) for one in text
    )
    return ems * POINTS / 72


def is_decided(opened: ImageSet, kind: str) -> bool:
    """True if the stored prediction is of what is shown: not of an original, nor of an image that was filtered later."""
    return "prediction" in opened and kind != "originals" and opened.kind != "filtered"


def arrow(name: str) -> str:
    """The words for what a model says."""
    return f"→ {name}"


def page(grid: Grid, title: str, notes: Sequence[str] = (), *, below: float = 0.0) -> tuple[Figure, float]:
    """A figure of the grid under its title; `below` inches are left free under it, which end at the height that is returned."""
    width = max(COLUMN, grid.width + 0.1)
    head = [*wrapped(title, width, TITLE_POINTS), *(one for note in notes for one in wrapped(note, width, LABEL_POINTS))]
    titles = len(wrapped(title, width, TITLE_POINTS))
    above = 0.08 + titles * TITLE_POINTS * 1.25 / 72 + (len(head) - titles) * LABEL_POINTS * 1.25 / 72
    scale = next((tile.scale for line in grid.lines for tile in line.tiles if tile and tile.scale), None)
    bar = 0.0 if scale is None else 0.45
    whole = Figure(figsize=(width, above + grid.height + bar + below + 0.03))
    whole.set_layout_engine("none")
    high = whole.get_figheight()
    top = high - 0.05
    for k, line in enumerate(head):
        size = TITLE_POINTS if k < titles else LABEL_POINTS
        whole.text(0.5, top / high, line, fontsize=size, ha="center", va="top")
        top -= size * 1.25 / 72
    left = (width - grid.width) / 2
    axes = whole.add_axes((left / width, (high - above - grid.height) / high, grid.width / width, grid.height / high or 0.01))
    paint(axes, grid)
    if scale is not None:
        coloured = any(tile.picture.shape[0] == 3 for line in grid.lines for tile in line.tiles if tile)
        _colour_bar(whole, scale, high - above - grid.height - 0.06, coloured=coloured)
    return whole, below / high


def empty(title: str, words: str) -> Figure:
    """A figure that says why there is nothing to see."""
    whole = Figure(figsize=(COLUMN, 1.0))
    whole.set_layout_engine("none")
    whole.text(0.5, 0.93, "\n".join(wrapped(title, COLUMN, TITLE_POINTS)), fontsize=TITLE_POINTS, ha="center", va="top")
    whole.text(0.5, 0.2, "\n".join(wrapped(words, COLUMN, LABEL_POINTS)), fontsize=LABEL_POINTS, ha="center", va="center")
    return whole


def wrapped(text: str, width: float, points: float) -> list[str]:
    """The text in lines that are so many inches wide."""
    return textwrap.wrap(text, max(20, int((width - 0.1) * 72 / (0.55 * points)))) or [""]


def paint(axes: Axes, grid: Grid) -> None:
    """Draw the grid; a tile is one wide and lines go down from 0. One pair of axes is faster than one for each picture."""
    axes.axis("off")
    top = 0.0
    for line in grid.lines:
        tall = grid.line_height(line) / grid.side
        bottom = top - tall + 0.04 / grid.side
        for place, tile in enumerate(line.tiles):
            if tile:
                _paint_tile(axes, tile, place, bottom, grid.side)
        if line.label:
            high = max([_sides(tile.picture)[0] for tile in line.tiles if tile], default=1.0)
            axes.text(-0.05, bottom + high / 2, line.label, fontsize=LABEL_POINTS, ha="right", va="center", linespacing=1.1)
        top -= tall
    axes.set(xlim=(-grid.margin / grid.side, max(1, grid.across)), ylim=(min(top, -0.01), 0), aspect="auto")


def _sides(picture: Array) -> tuple[float, float]:
    """The height and the width of a picture, of its place."""
    tall, wide = picture.shape[1:]
    return FILLED * tall / max(tall, wide), FILLED * wide / max(tall, wide)


def _paint_tile(axes: Axes, tile: Tile, place: int, bottom: float, side: float) -> None:
    tall, wide = _sides(tile.picture)
    left = place + (1 - wide) / 2
    show(axes, tile, (left, left + wide, bottom, bottom + tall))
    if tile.framed:
        axes.add_patch(Rectangle((left, bottom), wide, tall, fill=False, edgecolor=FRAME, linewidth=1.5))
    over, middle = bottom + tall + 0.02 / side, left + wide / 2
    axes.text(middle, over, fitted(tile.words, side), fontsize=POINTS, ha="center", va="bottom", linespacing=1)


def show(axes: Axes, tile: Tile, extent: tuple[float, float, float, float]) -> None:
    """One picture at its place."""
    picture, scale = tile.picture, tile.scale
    if picture.shape[0] == 3:
        shown = picture.transpose(1, 2, 0)
        axes.imshow((shown if scale is None else shown / (2 * scale) + 0.5).clip(0, 1), extent=extent)
    elif scale is None:
        axes.imshow(picture.mean(0), cmap="gray", vmin=0, vmax=1, extent=extent)
    else:
        axes.imshow(picture.mean(0), cmap="RdBu_r", vmin=-scale, vmax=scale, extent=extent)


def _colour_bar(whole: Figure, scale: float, top: float, *, coloured: bool) -> None:
    """The scale of signed pictures, in pixel values."""
    width, high = whole.get_size_inches()
    wide = min(2.0, width - 1) / width
    axes = whole.add_axes((0.5 - wide / 2, (top - 0.08) / high, wide, 0.08 / high))
    colours = ScalarMappable(Normalize(-scale, scale), "gray" if coloured else "RdBu_r")
    bar: Any = whole.colorbar(colours, cax=axes, orientation="horizontal", ticks=[-scale, 0, scale])
    bar.ax.set_xticklabels([f"−{scale:.3g}", "0", f"+{scale:.3g}"], fontsize=LABEL_POINTS)
    bar.ax.tick_params(length=2, pad=1)
    bar.set_label("pixel value" + (", each channel" if coloured else ""), fontsize=LABEL_POINTS, labelpad=1)
