"""Models that can reject: one more logit, the last, tells how far a detector's score is beyond its threshold.

z_K = max_k z_k + (s(x) - t) / u for K classes, a detector's score s, its threshold t, and u, the spread of the scores on
clean images: so a rejection is the largest logit exactly if s > t, whatever else is around the model. If one detector is
around another, the larger excess counts: the model rejects if any of them does.
"""

from typing import Any

import torch
from torch import Tensor, nn

from advcli.numerics.rng import SampleRNG


def decision(logits: Tensor, rejects: bool) -> Tensor:
    """The predicted class; -1 if the last logit, the rejection, is the largest."""
    found = logits.argmax(1)
    return torch.where(found == logits.shape[1] - 1, -1, found) if rejects else found


def split(logits: Tensor, rejects: bool) -> tuple[Tensor, Tensor | None]:
    """The logits of the classes, and the excess of the detector's score over its threshold."""
    if not rejects:
        return logits, None
    scores = logits[:, :-1]
    return scores, logits[:, -1] - scores.amax(1)


def rejects(model: nn.Module) -> bool:
    """True if a model's last logit is a rejection."""
    return any(isinstance(one, Rejecting) for one in model.modules())


class Rejecting(nn.Module):
    """A model behind a detector; it accepts everything until it is calibrated."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.inner = rejects(model)
        self.threshold, self.unit = 0.0, 0.0

    def adopt(self, found: dict[str, Any]) -> None:
        """Load the results of a calibration."""
        self.threshold, self.unit = float(found["threshold"]), float(found["unit"])

    def suspicion(self, x: Tensor, scores: Tensor, draws: SampleRNG | None) -> Tensor:
        """(N,) the detector's score of images whose classes have these logits."""
        raise NotImplementedError

    def highest(self, classes: int) -> float:
        """The largest score that there can be, where 0 is the least; infinite where there is none."""
        return float("inf")

    def ask(self, x: Tensor, draws: SampleRNG | None) -> Tensor:
        """The logits of the inner model."""
        return split(self.model(x, draws), self.inner)[0]

    def score(self, x: Tensor, draws: SampleRNG | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        """The detector's score, the logits of the classes, and the excess of the detectors below."""
        scores, beyond = split(self.model(x, draws), self.inner)
        return self.suspicion(x, scores, draws), scores, beyond

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        score, scores, beyond = self.score(x, draws)
        mine = (score - self.threshold) / self.unit if self.unit else torch.full_like(score, -1.0)
        mine = mine if beyond is None else torch.maximum(mine, beyond)
        return torch.cat([scores, (scores.amax(1) + mine)[:, None]], 1)
