"""What an attack's images are worth: verdicts of the plain model on the stored values, and comparisons image by image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advcli.numerics.arrays import Array
from advcli.numerics.balls import tolerance
from advcli.numerics.quantities import budgets
from benchmarks.cells import Cell
from benchmarks.subject import Subject, distances, logits

RESAMPLED = 2000


@dataclass(frozen=True)
class Judged:
    """(budgets, images) what was won, and at which distance."""

    won: Array
    norms: dict[str, Array]
    outside: int  # rows beyond their budget or the pixels' range: no successes

    def medians(self) -> dict[str, float]:
        """Of the successes."""
        return {name: float(np.median(values[self.won])) if self.won.any() else 0.0 for name, values in self.norms.items()}


def judge(cell: Cell, subject: Subject, found: Tensor) -> Judged:
    """Verdicts on (budgets, images, ...)."""
    count, model = found.shape[1], subject.module()
    x, y = subject.x[:count], subject.y[:count]
    eps = [one.value for one in budgets(str(cell.parameters["eps"]))] if "eps" in cell.parameters else [float("inf")]
    won, norms, outside = [], [], 0
    for points, radius in zip(found.to(torch.float32), eps, strict=True):
        away = distances(points, x)
        slack = tolerance(radius)
        flat = points.flatten(1)
        fits = (away[cell.parameters.get("norm", "linf")] <= radius + slack) & ((flat.amin(1) >= 0) & (flat.amax(1) <= 1)).numpy()
        decided = logits(model, points).argmax(1)
        reached = (decided == (y + 1) % len(subject.file.classes)) if cell.target else (decided != y)
        won.append(reached.numpy() & fits)
        norms.append(away)
        outside += int((~fits).sum())
    return Judged(np.stack(won), {name: np.stack([one[name] for one in norms]) for name in norms[0]}, outside)


def paired(ours: Judged, other: Judged, norm: str) -> dict[str, Any]:
    """Ours against another on the same images, with 95 % intervals by resampling the images.

    `gain`: our success minus theirs. `ratio`: our median distance over theirs, where both have won.
    """
    count = other.won.shape[1]
    mine, theirs = ours.won[:, :count], other.won
    both, near, far = mine & theirs, ours.norms[norm][:, :count], other.norms[norm]
    draws = np.random.default_rng(0).integers(0, count, (RESAMPLED, count))
    gains = (mine.mean(0) - theirs.mean(0))[draws].mean(1)
    found = {"gain": _spread(float(mine.mean() - theirs.mean()), gains)}
    if both.any():
        where = np.where(both, near, np.nan), np.where(both, far, np.nan)
        ratios = [_ratio(where[0][:, one], where[1][:, one]) for one in draws]
        found["ratio"] = _spread(_ratio(*where), np.array(ratios))
    return found


def _ratio(near: Array, far: Array) -> float:
    with np.errstate(all="ignore"):
        return float(np.nanmedian(near) / np.nanmedian(far)) if not np.isnan(near).all() else float("nan")


def _spread(value: float, drawn: Array) -> list[float]:
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return [round(float(one), 4) for one in (value, low, high)]
