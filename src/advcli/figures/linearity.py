"""How linear a model is along the gradient: its loss and its logits on the way from an image, and the prediction of first order.

x + t d for t from 0 to --reach, with d = sign(gradient of the loss) (linf) or the gradient divided by its length (l2),
unclipped; the prediction is L(x) + t d . gradient. R^2 is that of straight lines through all logits from 0 to t, one line a
class: the linear explanation of adversarial examples says that it is near 1.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.evaluation.captions import WIDE, heading, no_rows, on_one_line
from advcli.evaluation.drawing import ONE, Drawing
from advcli.evaluation.judge import Judge
from advcli.evaluation.loss_around import Starts, gradients, loss, scores_at, starts, steepest
from advcli.evaluation.selected_rows import SelectedRows
from advcli.numerics.arrays import Array

OTHER = "#d55e00"
ROOM = 0.4  # of the height of the curves, above them, for the legend
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Way:
    """The steps, and for every image and step the scores, the loss, its prediction of first order, and R^2 up to there."""

    steps: Array
    scores: Array  # (images, steps, classes)
    losses: Array
    predicted: Array
    straight: Array


@figure(model="one")
def linearity(
    rows: SelectedRows,
    model: Judge,
    *,
    ways: Annotated[int, Param("Number of images to start from.", low=1, high=10000)] = 20,
    reach: Annotated[float, Param("Largest distance from the image, in pixel values.", low=1e-6, high=100)] = 0.1,
    steps: Annotated[int, Param("Steps from the image to that distance.", low=2, high=1000)] = 10,
    direction: Annotated[
        Literal["sign", "gradient"], Param("Direction of the way: the sign of the gradient, or the gradient of length one (l2).")
    ] = "sign",
) -> Drawing:
    begin = starts(rows, model, ways)
    norm = {"sign": "linf", "gradient": "l2"}[direction]
    count = f"{len(begin):,} images ({rows.rows})"
    what = {"linf": "sign of the gradient (linf)", "l2": "gradient (l2)"}[norm]
    title = heading(f"Along the {what}; bands: quartiles", rows, model.file.path.name, count)
    if not len(begin):
        return Drawing(no_rows(title), [])
    way = walked(model, begin, norm, np.linspace(0, reach, steps + 1))
    means = _means(way)
    return Drawing(_drawn(way, begin, model, means, title), [*means, *_each(way, begin)])


def walked(model: Judge, begin: Starts, norm: str, steps: Array) -> Way:
    """Ask the model along the way of every image."""
    slopes = gradients(model, begin)
    moves = steepest(slopes, norm)
    away = torch.from_numpy(steps).float().view(-1, *[1] * (begin.x.ndim - 1))
    scores = [scores_at(model, x + away * move, int(one)) for x, move, one in zip(begin.x, moves, begin.ids, strict=True)]
    losses = torch.stack([loss(some, label.expand(len(some))) for some, label in zip(scores, begin.labels, strict=True)]).numpy()
    rise = (slopes.double() * moves.double()).flatten(1).sum(1).numpy()
    known = torch.stack(scores).numpy()
    return Way(steps, known, losses, losses[:, :1] + rise[:, None] * steps, straightness(steps, known))


def straightness(steps: Array, scores: Array) -> Array:
    """(images, steps) R^2 of one straight line a class from 0 to each step; NaN for fewer than three points or no change."""
    found = np.full(scores.shape[:2], np.nan)
    for last in range(2, len(steps)):
        t, z = steps[: last + 1] - steps[: last + 1].mean(), scores[:, : last + 1]
        z = z - z.mean(1, keepdims=True)
        slope = np.einsum("t,ntk->nk", t, z) / (t**2).sum()
        left = ((z - slope[:, None] * t[None, :, None]) ** 2).sum((1, 2))
        total = (z**2).sum((1, 2))
        found[:, last] = np.where(total > 0, 1 - left / np.where(total > 0, total, 1), np.nan)
    return found


def _means(way: Way) -> list[dict[str, Any]]:
    """The means and quartiles at every step."""
    rise, predicted = (way.losses - way.losses[:, :1]).mean(0), (way.predicted - way.losses[:, :1]).mean(0)
    found = []
    for k, step in enumerate(way.steps):
        known = way.straight[:, k][~np.isnan(way.straight[:, k])]
        low, middle, high = map(float, np.quantile(known, QUARTILES)) if len(known) else (np.nan,) * 3
        found.append(
            {
                "of": "mean",
                "images": len(way.losses),
                "step": float(step),
                "increase": float(rise[k]),
                "first order increase": float(predicted[k]),
                "ratio": float(rise[k] / predicted[k]) if predicted[k] else np.nan,
                "r2": middle,
                "lower quartile": low,
                "upper quartile": high,
            }
        )
    return found


def _each(way: Way, begin: Starts) -> list[dict[str, Any]]:
    return [
        {
            "of": "image",
            "index": int(begin.ids[n]),
            "label": begin.names[n],
            "step": float(step),
            "loss": float(way.losses[n, k]),
            "first order loss": float(way.predicted[n, k]),
            "r2": float(way.straight[n, k]),
        }
        for n in range(len(begin))
        for k, step in enumerate(way.steps)
    ]


def _drawn(way: Way, begin: Starts, model: Judge, means: list[dict[str, Any]], title: str) -> Figure:
    whole = Figure(figsize=(WIDE, 2.7))
    whole.suptitle(title)
    left, middle, right = whole.subplots(1, 3)
    _losses(left, way)
    _logits(middle, way, begin, model)
    line, low, high = ([row[name] for row in means] for name in ("r2", "lower quartile", "upper quartile"))
    right.plot(way.steps, line, color=ONE, marker=".", markersize=4)
    right.fill_between(way.steps, low, high, color=ONE, alpha=0.2, linewidth=0)
    right.set(title="straight fit of the logits", ylabel="R² from 0 to the step (median)")
    for axes in (left, middle, right):
        axes.set(xlabel="step, pixel values", xlim=(0, way.steps[-1]))
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    return whole


def _losses(axes: Axes, way: Way) -> None:
    """The mean increase of the loss, as it is and as predicted."""
    rise = way.losses - way.losses[:, :1]
    axes.fill_between(way.steps, *np.quantile(rise, (0.25, 0.75), axis=0), color=ONE, alpha=0.2, linewidth=0)
    axes.plot(way.steps, rise.mean(0), color=ONE, marker=".", markersize=4, label="loss")
    axes.plot(way.steps, (way.predicted - way.losses[:, :1]).mean(0), color=OTHER, linestyle="--", label="first order")
    axes.set(title="increase of the loss (mean)", ylabel="cross-entropy, nats")
    axes.legend(frameon=False, loc="upper left")


def _logits(axes: Axes, way: Way, begin: Starts, model: Judge) -> None:
    """The logits of the first image: its class, the class that wins at the end, or comes second, and the others."""
    scores, label = way.scores[0], int(begin.labels[0])
    rival = max((k for k in range(scores.shape[1]) if k != label), key=lambda k: scores[-1, k], default=label)
    for k in range(scores.shape[1]):
        if k not in (label, rival):
            axes.plot(way.steps, scores[:, k], color="0.8", linewidth=0.7)
    axes.plot(way.steps, scores[:, label], color=ONE, label=f"class {on_one_line(model.file.classes[label], 12)}")
    if rival != label:
        axes.plot(way.steps, scores[:, rival], color=OTHER, linestyle="--", label=on_one_line(model.file.classes[rival], 12))
    low, high = float(scores.min()), float(scores.max())
    axes.set(title=f"logits of image {begin.ids[0]}", ylabel="logit", ylim=(None, high + ROOM * ((high - low) or 1)))
    axes.legend(frameon=False, loc="upper left")
