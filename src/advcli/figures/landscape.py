"""The loss around an image over two directions: the sign of its gradient, and random signs.

L(x + a sign(gradient) + b r), with r drawn from {-1, 1} for every pixel by the seed, so that both axes are in units of eps
(linf); unclipped. The white line is the edge of the region in which the model gives the image its label.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.evaluation.captions import heading, no_rows, on_one_line, wrapped
from advcli.evaluation.drawing import COLOURS, Drawing
from advcli.evaluation.judge import Judge
from advcli.evaluation.loss_around import Starts, gradients, loss, scores_at, starts, steepest
from advcli.evaluation.selected_rows import SelectedRows
from advcli.numerics.arrays import Array
from advcli.numerics.rng import Purpose, SampleRNG

ACROSS = 4
MOST_DRAWN = 12  # images
NARROW = 52  # characters over one panel


@dataclass(frozen=True, slots=True)
class Ground:
    """The loss over the grid of every image, and the lead of its label's logit over the others; (images, b, a)."""

    axis: Array
    losses: Array
    leads: Array
    answers: Array


@figure(model="one")
def landscape(
    rows: SelectedRows,
    model: Judge,
    *,
    panels: Annotated[int, Param("Number of images; at most 12 are drawn, all are in the table.", low=1, high=10000)] = 1,
    reach: Annotated[float, Param("Largest distance from the image, in pixel values.", low=1e-6, high=100)] = 0.1,
    steps: Annotated[int, Param("Steps from the image to that distance.", low=2, high=1000)] = 10,
    first: Annotated[
        Literal["gradient", "random"], Param("First direction: the sign of the gradient, or random signs as for the second.")
    ] = "gradient",
) -> Drawing:
    begin = starts(rows, model, panels)
    shown = f"{len(begin)} of the images ({rows.rows})"
    title = heading("Loss around an image; line: edge of its class", rows, model.file.path.name, shown)
    if not len(begin):
        return Drawing(no_rows(title), [])
    found = surveyed(model, begin, first, np.linspace(-reach, reach, 2 * steps + 1))
    return Drawing(_drawn(found, begin, first, title), [*_by_image(found, begin), *_by_point(found, begin, model)])


def surveyed(model: Judge, begin: Starts, first: str, axis: Array) -> Ground:
    """Ask the model at every point of the grid of every image, one row of a grid at a time."""
    across = steepest(gradients(model, begin), "linf") if first == "gradient" else random_signs(model, begin, "first")
    along = random_signs(model, begin, "second")
    shape = (len(begin), len(axis), len(axis))
    losses, leads, answers = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64)
    away = torch.from_numpy(axis).float().view(-1, *[1] * (begin.x.ndim - 1))
    for n, label in enumerate(begin.labels.tolist()):
        for k, b in enumerate(axis):
            points = begin.x[n] + float(b) * along[n] + away * across[n]
            scores = scores_at(model, points, int(begin.ids[n]))
            others = scores.clone()
            others[:, label] = -torch.inf
            losses[n, k] = loss(scores, torch.full((len(scores),), label)).numpy()
            leads[n, k] = (scores[:, label] - others.amax(1)).numpy()
            answers[n, k] = scores.argmax(1).numpy()
    return Ground(axis, losses, leads, answers)


def random_signs(model: Judge, begin: Starts, name: str) -> Tensor:
    """-1 or 1 for every pixel of every image, by the seed."""
    draws = SampleRNG(model.seed, torch.from_numpy(begin.ids), (Purpose.EVALUATE, "landscape", name))
    return draws.chance(0.5, *begin.x.shape[1:]).float() * 2 - 1


def _by_image(found: Ground, begin: Starts) -> list[dict[str, Any]]:
    middle = len(found.axis) // 2
    return [
        {
            "of": "image",
            "index": int(begin.ids[n]),
            "label": begin.names[n],
            "loss": float(found.losses[n, middle, middle]),
            "lowest": float(found.losses[n].min()),
            "highest": float(found.losses[n].max()),
            "correct": float((found.leads[n] > 0).mean()),
        }
        for n in range(len(begin))
    ]


def _by_point(found: Ground, begin: Starts, model: Judge) -> list[dict[str, Any]]:
    return [
        {
            "of": "point",
            "index": int(begin.ids[n]),
            "label": begin.names[n],
            "loss": float(found.losses[n, k, j]),
            "first": float(a),
            "second": float(b),
            "prediction": model.file.classes[found.answers[n, k, j]],
        }
        for n in range(len(begin))
        for k, b in enumerate(found.axis)
        for j, a in enumerate(found.axis)
    ]


def _drawn(found: Ground, begin: Starts, first: str, title: str) -> Figure:
    """One heat map for each image, all on one scale."""
    shown = min(len(begin), MOST_DRAWN)
    down = -(-shown // ACROSS)
    across = -(-shown // down)
    whole = Figure(figsize=(3.6 if across == 1 else 1.4 + 1.5 * across, 3.4 if across == 1 else 1.1 + 1.6 * down))
    words = title + (f"\nthe first {shown}" if shown < len(begin) else "")
    whole.suptitle(wrapped(words, NARROW) if across == 1 else words, fontsize=8 if across == 1 else 10)
    panels = list(whole.subplots(down, across, squeeze=False, sharex=True, sharey=True).flat)
    scale = (found.losses[:shown].min(), found.losses[:shown].max())
    for n, axes in enumerate(panels):
        if n < shown:
            drawn = _panel(axes, found, n, scale)
            name = on_one_line(begin.names[n], 12)
            axes.set_title(f"image {begin.ids[n]}, class {name}" if across == 1 else f"{begin.ids[n]}: {name}", fontsize=8)
        else:
            axes.axis("off")
    whole.colorbar(drawn, ax=panels, label="cross-entropy, nats")
    across_words = {"gradient": "the sign of the gradient", "random": "random signs"}[first]
    whole.supxlabel(f"step along {across_words}, pixel values", fontsize=8)
    whole.supylabel("step along random signs", fontsize=8)
    return whole


def _panel(axes: Axes, found: Ground, n: int, scale: tuple[float, float]) -> AxesImage:
    """The loss, the edge of the label's region, and a cross at the image."""
    half = (found.axis[1] - found.axis[0]) / 2
    low, high = found.axis[0] - half, found.axis[-1] + half
    drawn = axes.imshow(
        found.losses[n], cmap=COLOURS, vmin=scale[0], vmax=scale[1], origin="lower", extent=(low, high, low, high)
    )
    if found.leads[n].min() < 0 < found.leads[n].max():
        axes.contour(found.axis, found.axis, found.leads[n], levels=[0], colors="white", linewidths=1)
    axes.plot(0, 0, marker="+", color="white", markersize=7)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    return drawn
