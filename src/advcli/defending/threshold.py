"""The threshold of a detector, from the scores of clean images that nothing was trained on.

With n scores and a wanted false-positive rate a, the threshold is the ceil((n + 1)(1 - a))-th smallest: a new clean image then
exceeds it with a probability of at most a (Vovk et al. 2005). The number of m new images beyond it is beta-binomial.
Where several images have that very score, as with counted votes, the threshold lies half-way to the next larger score: the
decisions are the same, and an accepted image is accepted by a margin that no rounding undoes.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import nn

from advcli.errors import InputError
from advcli.files.header import Header
from advcli.images.dataset import Dataset
from advcli.images.passes import passes
from advcli.networks.memory_format import optimize_for
from advcli.networks.rejection import Rejecting
from advcli.numerics.arrays import Array
from advcli.numerics.rng import Purpose
from advcli.runtime import devices
from advcli.runtime.reporter import Reporter

FINEST = 1e-6  # the unit of scores that do not spread
HIGH = 0.9  # of the largest score: a threshold beyond it leaves a detector next to no room


@dataclass(frozen=True, slots=True)
class Calibration:
    """Clean images, and the setting of a threshold by their scores."""

    data: Dataset
    fpr: float
    seed: int
    device: torch.device
    batch_size: int
    reporter: Reporter

    def fit(self, model: nn.Module) -> Header:
        """The entries of the model's metadata: the threshold, its unit, and the number of images it was set on."""
        assert isinstance(model, Rejecting)  # its traits say so
        scores = np.sort(self._scores(optimize_for(model, self.device)))
        place = threshold_place(len(scores), self.fpr)
        if place >= len(scores):
            few = f"{len(scores)} images are too few for a false-positive rate of {self.fpr:g}"
            raise InputError(f"{self.data.name}:{self.data.split}: {few}; it needs {ceil(1 / self.fpr) - 1}")
        found = {"threshold": threshold_at(scores, place), "unit": float(max(scores.std(), FINEST)), "n": len(scores),
                 "rejected": int((scores > scores[place]).sum())}  # fmt: skip
        self.reporter.note(f"threshold {found['threshold']:.4g}: {found['rejected']} of {len(scores)} clean images are beyond it")
        highest = model.highest(len(self.data.classes))
        if scores[place] > HIGH * highest:
            self.reporter.warn(
                f"the threshold lies at {scores[place] / highest:.1%} of the largest score there can be ({highest:.4g}):"
                " this detector can hardly reject anything, and is no defense\n"
                "clean images score as high; other settings of the detector, or a larger --fpr, may tell them apart"
            )
        return {"found": found}

    def _scores(self, model: Rejecting) -> Array:
        pieces = []
        with devices.threads(self.data.shape), torch.no_grad():
            whole, path = self.data, (Purpose.CALIBRATION,)
            for part in passes(whole.pictures, whole.index, self.batch_size, self.device, self.seed, path):
                pieces.append(model.score(part.x, part.draws)[0].double().cpu().numpy())
        found: Array = np.concatenate(pieces)
        if not np.isfinite(found).all():
            raise InputError("the detector's scores are not finite; no threshold can be set")
        return found


def threshold_at(scores: Array, place: int) -> float:
    """The threshold that accepts the sorted scores up to a position and those that equal it."""
    beyond = scores[scores > scores[place]]
    alone = (scores == scores[place]).sum() == 1
    return float(scores[place] if alone or not len(beyond) else (scores[place] + beyond[0]) / 2)


def threshold_place(count: int, fpr: float) -> int:
    """The position of the threshold among the sorted scores."""
    return ceil((count + 1) * (1 - fpr) - 1e-9) - 1
