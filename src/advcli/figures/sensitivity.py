"""The sensitivity of a model: how far its output moves for how far an image is moved.

forward error |F(x') - F(x)|, backward error |x' - x|, sensitivity = forward / backward, in one norm; F are the probabilities
or the logits. An adversarial example makes it large. For F(x) = W x + b it is at most the spectral norm of W (l2). Where x' is
x it is undefined; such rows are counted. A random model is asked with the same draws for both.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.evaluation.captions import MOST_NAMED, WIDE, colours, heading, legend, no_rows
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.judge import Judge
from advcli.evaluation.selected_rows import SelectedRows
from advcli.networks.rejection import split
from advcli.numerics.arrays import Array

BINS = 24
MOST_POINTS = 2000  # of one budget; more would only cover each other
OVERLAID = 3  # budgets whose histograms can be told apart
RATIO = "forward error / backward error"
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Errors:
    """The errors of every row; the ratio is NaN where the image was not moved."""

    forward: Array
    backward: Array

    @property
    def ratio(self) -> Array:
        moved = self.backward > 0
        return np.where(moved, self.forward / np.where(moved, self.backward, 1), np.nan)


@figure(model="one", needs=("original",))
def sensitivity(
    rows: SelectedRows,
    model: Judge,
    *,
    norm: Annotated[Literal["l2", "linf", "l1"], Param("Norm of both errors.")] = "l2",
    space: Annotated[Literal["prob", "logit"], Param("Output whose change is measured: probabilities or logits.")] = "prob",
) -> Drawing:
    errors = measured(rows, model, norm, space)
    return Drawing(_drawn(rows, errors, norm, space, model), [*_by_budget(rows, errors), *_by_row(rows, errors)])


def measured(rows: SelectedRows, model: Judge, norm: str, output: str) -> Errors:
    """Both errors of every row; an original that several rows have in common is computed once for a batch."""
    forward, backward = np.zeros(len(rows)), np.zeros(len(rows))
    origin, ids, power = rows.column("original"), rows.column("index"), {"l1": 1, "l2": 2, "linf": np.inf}[norm]
    for part, pictures in rows.batches("images", "originals"):
        _, first, place = np.unique(origin[part], return_index=True, return_inverse=True)
        clean, moved = pictures["originals"], pictures["images"]
        before = _output(model, clean[first], ids[part][first], output)[place]
        forward[part] = np.linalg.norm(_output(model, moved, ids[part], output) - before, power, axis=1)
        apart = (moved.astype(np.float64) - clean).reshape(len(clean), -1)
        backward[part] = np.linalg.norm(apart, power, axis=1)
    return Errors(forward, backward)


def _output(model: Judge, x: Array, ids: Array, output: str) -> Array:
    """(N, K) what the model says of the classes; a rejection is left out."""
    logits = model.logits(torch.from_numpy(x), ids).double()
    scores: Tensor = split(logits, rejects=logits.shape[1] > len(model.file.classes))[0]
    return (scores.softmax(1) if output == "prob" else scores).numpy()


def _by_budget(rows: SelectedRows, errors: Errors) -> list[dict[str, Any]]:
    """The medians of every budget."""
    texts, numbers = rows.budgets
    found = []
    for k, text in enumerate(texts):
        ratio = errors.ratio[numbers == k]
        known = ratio[~np.isnan(ratio)]
        low, middle, high = np.quantile(known, QUARTILES) if len(known) else (np.nan,) * 3
        found.append(
            {
                "of": "median",
                "epsilon": text,
                "rows": len(ratio),
                "undefined": len(ratio) - len(known),
                "forward": float(np.median(errors.forward[numbers == k])),
                "backward": float(np.median(errors.backward[numbers == k])),
                "ratio": float(middle),
                "lower quartile": float(low),
                "upper quartile": float(high),
            }
        )
    return found


def _by_row(rows: SelectedRows, errors: Errors) -> list[dict[str, Any]]:
    texts, numbers = rows.budgets
    index, labels, ratio = rows.column("index"), rows.names("label", rows.places), errors.ratio
    return [
        {
            "of": "image",
            "epsilon": texts[numbers[k]],
            "row": int(rows.places[k]),
            "index": int(index[k]),
            "label": labels[k],
            "forward": float(errors.forward[k]),
            "backward": float(errors.backward[k]),
            "ratio": float(ratio[k]),
        }
        for k in range(len(rows))
    ]


def _drawn(rows: SelectedRows, errors: Errors, norm: str, output: str, model: Judge) -> Figure:
    what = {"prob": "probabilities", "logit": "logits"}[output]
    undefined = int(np.isnan(errors.ratio).sum())
    title = heading(f"Sensitivity of the {what} ({norm})", rows, model.file.path.name)
    title += f", {undefined:,} not moved and left out" if undefined else ""
    if undefined == len(rows):
        return no_rows(title)
    whole = Figure(figsize=(WIDE, 2.8))
    whole.suptitle(title)
    left, right = whole.subplots(1, 2)
    left.set(title="errors of every row", xlabel="backward error |x′ − x|", ylabel="forward error |F(x′) − F(x)|")
    _points(left, rows, errors)
    if len(rows.budgets[0]) <= OVERLAID:
        _histograms(right, rows, errors.ratio)
        legend(whole, rows)
    else:
        _boxes(right, rows, errors.ratio)
    return whole


def _points(axes: Axes, rows: SelectedRows, errors: Errors) -> None:
    """A point for every row that was moved, or for some of very many."""
    texts, numbers = rows.budgets
    for k, colour in enumerate(colours(len(texts))):
        here = np.flatnonzero((numbers == k) & (errors.backward > 0))
        here = here[np.linspace(0, len(here) - 1, min(MOST_POINTS, len(here))).astype(np.int64)]
        axes.scatter(errors.backward[here], errors.forward[here], s=6, color=colour, alpha=0.6, linewidths=0, rasterized=True)
    axes.set(xlim=(0, None), ylim=(0, None))


def _histograms(axes: Axes, rows: SelectedRows, ratio: Array) -> None:
    """A line for each of a few budgets."""
    texts, numbers = rows.budgets
    known = ratio[~np.isnan(ratio)]
    edges = np.linspace(0, known.max() or 1, BINS + 1)
    for k, colour in enumerate(colours(len(texts))):
        mine = ratio[(numbers == k) & ~np.isnan(ratio)]
        if len(mine):
            axes.stairs(np.histogram(mine, edges)[0], edges, fill=len(texts) == 1, color=colour, linewidth=1)
            axes.axvline(np.median(mine), color="black" if len(texts) == 1 else colour, linewidth=1, linestyle=":")
    axes.set(title="their ratio; dotted: median", xlabel=RATIO, ylabel="rows", xlim=(0, edges[-1]))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def _boxes(axes: Axes, rows: SelectedRows, ratio: Array) -> None:
    """A box for each of many budgets."""
    texts, numbers = rows.budgets
    each = [ratio[(numbers == k) & ~np.isnan(ratio)] for k in range(len(texts))]
    drawn = axes.boxplot(each, whis=(5, 95), showfliers=False, patch_artist=True, medianprops={"color": "black"}, widths=0.7)
    for box, colour in zip(drawn["boxes"], colours(len(texts)), strict=True):
        box.set(facecolor=colour, alpha=0.6, linewidth=0.7)
    axes.set(title="their ratio: median, quartiles, 5 % to 95 %", xlabel="budget", ylabel="ratio", ylim=(0, None))
    some = np.unique(np.linspace(0, len(texts) - 1, MOST_NAMED).round().astype(int))
    axes.set_xticks(some + 1, [texts[k] for k in some], rotation=90)
