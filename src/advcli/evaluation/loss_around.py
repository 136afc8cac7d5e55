"""The loss of a model around clean images: the images that figures begin at, its steepest ascent there, and its values nearby.

The loss is the cross-entropy of the label over the classes, in float64; a rejection is left out. Points around an image are not
clipped. A random model is asked with the same draws at every point.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from advcli.errors import NoGradient
from advcli.evaluation.judge import Judge
from advcli.evaluation.selected_rows import SelectedRows, available
from advcli.networks.rejection import split
from advcli.numerics.arrays import Array


@dataclass(frozen=True, slots=True)
class Starts:
    """Clean images, their labels by the model's numbers, and what they are called."""

    x: Tensor
    ids: Array
    labels: Tensor
    names: list[str]

    def __len__(self) -> int:
        return len(self.ids)


def starts(rows: SelectedRows, model: Judge, count: int) -> Starts:
    """Some of the originals of the selected rows, at equal distances in the file; each once, and only those with a label."""
    clean = "originals" if "originals" in available(rows.opened) else "images"
    numbers = model.numbers(rows.opened.classes)[rows.column("labels")]
    origin = rows.column("original") if clean == "originals" else rows.places
    known = np.flatnonzero(numbers >= 0)
    _, first = np.unique(origin[known], return_index=True)
    chosen = known[first][np.linspace(0, len(first) - 1, min(count, len(first))).astype(np.int64)]
    x = torch.zeros(len(chosen), *rows.opened.shape)
    for part, pictures in rows.batches(clean, of=rows.places[chosen]):
        x[part] = torch.from_numpy(pictures[clean])
    return Starts(x, rows.column("index")[chosen], torch.from_numpy(numbers[chosen]), rows.names("label", rows.places[chosen]))


def scores_of(logits: Tensor, model: Judge) -> Tensor:
    """(N, K) logits of the classes, without a rejection."""
    return split(logits.double(), rejects=logits.shape[1] > len(model.file.classes))[0]


def loss(scores: Tensor, labels: Tensor) -> Tensor:
    """(N,) the cross-entropy."""
    found: Tensor = nn.functional.cross_entropy(scores, labels, reduction="none")
    return found


def gradients(model: Judge, begin: Starts) -> Tensor:
    """The gradient of the loss at each image; NoGradient if it is zero at all of them."""
    found = torch.zeros_like(begin.x)
    for start in range(0, len(begin), model.batch):
        part = slice(start, start + model.batch)
        labels = begin.labels[part].to(model.device)
        found[part] = model.gradient(
            begin.x[part],
            begin.ids[part],
            lambda logits, labels=labels: loss(scores_of(logits, model), labels),  # type: ignore[misc]
        )
    if len(begin) and not found.any():
        raise NoGradient(
            f"{model.file.path}: has no gradient at these images, and the figure follows it\n"
            "a model of trees, neighbours or labels alone has none; landscape --first random needs none"
        )
    return found


def steepest(slopes: Tensor, norm: str) -> Tensor:
    """The direction of length one in which the loss rises most: the sign of the gradient (linf), or the gradient itself (l2)."""
    if norm == "linf":
        return slopes.sign()
    size = slopes.double().flatten(1).norm(dim=1).view(-1, *[1] * (slopes.ndim - 1))
    return slopes.double().div(size.clamp_min(torch.finfo(torch.float64).tiny)).float()


def scores_at(model: Judge, points: Tensor, id_: int) -> Tensor:
    """(P, K) the logits of the classes at some points around one image."""
    return scores_of(model.logits(points, np.full(len(points), id_)), model)
