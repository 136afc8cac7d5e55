"""The goal of an attack: a class to leave or a class to reach, and the margin of a decision beyond it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from advcli.networks.rejection import split
from advcli.numerics.losses import LOSSES, TOWARDS, log_odds, margin

SURE = 1e-5  # a verdict needs a margin of this share of the largest logit
CLOSE = 2e-4  # a margin below this share may have looked like a success to the search


OF_SHARES = ("xent", "prob")  # objectives that see nothing where a softmax is 0 and 1


CLEAR, HIDDEN = 1.0, 0.1  # of a model that rejects: the logits' gap, and the excess below zero, that no one climbs on from


@dataclass(frozen=True, slots=True)
class Goal:
    """The class of every sample, to leave or to reach; `source` is the class that it has."""

    label: Tensor
    targeted: bool = False
    source: Tensor | None = None
    rejects: bool = False
    scale: float = 1.0  # what the logits are divided by where a softmax is taken of them

    def __getitem__(self, mask: Tensor) -> "Goal":
        return replace(self, label=self.label[mask], source=None if self.source is None else self.source[mask])

    @property
    def own(self) -> Tensor:
        """The class that each sample has."""
        return self.label if self.source is None else self.source

    def loss(self, objective: str) -> Callable[[Tensor], Tensor]:
        """The objective to maximize: the loss of the label, or minus that of the target; `logit` is then +z_target."""
        sign, losses = (-1, TOWARDS) if self.targeted else (1, LOSSES)
        loss = log_odds if self.rejects and objective == "xent" else losses[objective]
        scale = self.scale if objective in OF_SHARES else 1.0
        return self.climb(lambda scores: sign * loss(scores if scale == 1 else scores / scale, self.label))

    def climb(self, loss: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """The loss to maximize; for a model that can reject, the loss up to a clear margin, minus the detector's excess."""
        if not self.rejects:
            return loss

        def evading(logits: Tensor) -> Tensor:
            scores, beyond = split(logits, rejects=True)
            assert beyond is not None  # it rejects
            value = loss(scores)
            return torch.where(self._fooled(scores) > CLEAR, value.detach(), value) - beyond.clamp_min(-HIDDEN)

        return evading

    def _fooled(self, scores: Tensor) -> Tensor:
        return -margin(scores, self.label) if self.targeted else margin(scores, self.label)

    def lead(self, logits: Tensor) -> Tensor:
        """The lead of the classes alone beyond the goal's boundary, rejected or not."""
        return self._fooled(split(logits, self.rejects)[0])

    def margin(self, logits: Tensor, confidence: float = 0.0) -> Tensor:
        """The margin beyond the goal's boundary: positive if the goal is reached with that confidence."""
        scores, beyond = split(logits, self.rejects)
        fooled = self._fooled(scores) - confidence
        return fooled if beyond is None else torch.minimum(fooled, -beyond)

    def met(self, decided: Tensor) -> Tensor:
        """Whether decisions alone, -1 for a rejection, reach the goal."""
        return decided == self.label if self.targeted else (decided != self.label) & (decided >= 0)

    def reached(self, logits: Tensor, confidence: float = 0.0) -> Tensor:
        """Whether the goal is reached with a margin that no rounding changes."""
        return self.margin(logits, confidence) > self.sure(logits)

    def sure(self, logits: Tensor) -> Tensor:
        """(N,) the margin that no rounding changes."""
        return _sure(split(logits, self.rejects)[0])

    def copies(self, count: int) -> "Goal":
        """The goal of `count` copies of every sample, one after the other."""
        source = None if self.source is None else self.source.repeat_interleave(count)
        return replace(self, label=self.label.repeat_interleave(count), source=source)


def _sure(scores: Tensor) -> Tensor:
    return SURE * scores.abs().amax(1)
