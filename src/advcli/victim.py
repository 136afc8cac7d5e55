"""The model under attack, and what the attack is after: all that an attack may know.

A `Victim` answers with logits, gradients or labels and counts what it was asked. It averages over the draws of a
random defense (EOT, arXiv:1707.07397) and passes through what cannot be differentiated by the defense's own
surrogate (BPDA, arXiv:1802.00420): so every attack is adaptive, and no attack knows it. A `Goal` is a class to leave
or a class to reach. Both can be indexed by a mask.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from advcli.losses import LOSSES, margin
from advcli.rng import SampleRNG

SURE = 1e-5  # a verdict needs a margin of this share of the largest logit


@dataclass(frozen=True, slots=True)
class Goal:
    """The class of every sample, to leave or to reach."""

    label: Tensor
    targeted: bool = False

    def __getitem__(self, mask: Tensor) -> "Goal":
        return replace(self, label=self.label[mask])

    def loss(self, objective: str) -> Callable[[Tensor], Tensor]:
        """What to climb: the loss of the label, or minus that of the target; `logit` is then +z_target."""
        sign = -1 if self.targeted else 1
        return lambda logits: sign * LOSSES[objective](logits, self.label)

    def margin(self, logits: Tensor) -> Tensor:
        """How far the decision is beyond the goal's boundary: positive where the goal is reached."""
        return -margin(logits, self.label) if self.targeted else margin(logits, self.label)

    def reached(self, logits: Tensor) -> Tensor:
        """Whether the goal is reached with a margin that no rounding undoes."""
        return self.margin(logits) > SURE * logits.abs().amax(1)


class Tally:
    """What each image of a batch has cost so far."""

    def __init__(self, count: int) -> None:
        self.queries = torch.zeros(count, dtype=torch.int64)
        self.gradients = torch.zeros(count, dtype=torch.int64)
        self.turns = torch.zeros(count, dtype=torch.int64)


@dataclass(frozen=True, slots=True)
class Victim:
    """A model that counts; `rows` are its samples' places in the tally, `draws` feed a random defense, if there is one."""

    model: nn.Module
    tally: Tally
    rows: Tensor
    draws: SampleRNG | None
    eot: int = 1
    half: bool = False  # search in bfloat16; verdicts are taken elsewhere, in float32

    def __getitem__(self, mask: Tensor) -> "Victim":
        draws = None if self.draws is None else self.draws[mask]
        return replace(self, rows=self.rows[mask.to(self.rows.device)], draws=draws)

    def __call__(self, x: Tensor) -> Tensor:
        """Logits, averaged over the draws of a random defense; no gradients."""
        self.tally.queries[self.rows] += self.eot
        with torch.no_grad():
            total = self._forward(x)
            for _ in range(self.eot - 1):
                total = total + self._forward(x)
        return total / self.eot

    def label(self, x: Tensor) -> Tensor:
        """The decision alone."""
        return self(x).argmax(1)

    def gradient(self, x: Tensor, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """The gradient of a per-sample loss to the image, and the logits of the same forward pass."""
        self.tally.gradients[self.rows] += self.eot
        slope, scores = self._slope(x, loss)
        for _ in range(self.eot - 1):
            more, logits = self._slope(x, loss)
            slope, scores = slope + more, scores + logits
        return (slope, scores) if self.eot == 1 else (slope / self.eot, scores / self.eot)

    def _slope(self, x: Tensor, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        point = x.detach().requires_grad_()
        logits = self._forward(point)
        return torch.autograd.grad(loss(logits).sum(), point)[0], logits.detach()

    def _forward(self, x: Tensor) -> Tensor:
        draws = None
        if self.draws is not None:
            turn = self.tally.turns[self.rows]
            self.tally.turns[self.rows] = turn + 1
            draws = self.draws.at(turn)
        if not self.half:
            logits: Tensor = self.model(x, draws)
            return logits
        with torch.autocast(x.device.type, torch.bfloat16):
            logits = self.model(x, draws)
        return logits.float()
