"""The attacked model and the goal: everything that an attack can use.

A `Victim` returns logits, gradients or labels, counts queries, and tells which images have queries left. It averages over the
draws of a random defense (EOT, arXiv:1707.07397) and uses the defense's own surrogate for steps without a gradient (BPDA,
arXiv:1802.00420): so every attack is adaptive without code of its own. A `Goal` is a class to leave or a class to reach. If
the model can reject, the objective is the loss minus the detector's excess. The loss is constant once the margin is clear, and
the excess once it is clearly below the threshold, so that each term stops contributing when it has been reached. Both are
maximized at the same time, because steps that alternate between them undo each other. A cross-entropy, whose gradient would
vanish beside the excess, is replaced by its log-odds, which grow with it and whose gradient does not vanish. Victims and goals
can be indexed by a mask.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from advcli.errors import AdvcliError, InputError
from advcli.networks.logits import gradient_of
from advcli.networks.rejection import decision, split
from advcli.networks.structure import Structure, structure_of
from advcli.numerics.rng import SampleRNG
from advcli.search.observer import Observer

PLENTY = 2**62  # queries, where nobody limits them
Part = TypeVar("Part", bound=Structure)


class Tally:
    """The queries and gradients of each image of a batch so far."""

    def __init__(self, count: int) -> None:
        self.queries = torch.zeros(count, dtype=torch.int64)
        self.gradients = torch.zeros(count, dtype=torch.int64)
        self.turns = torch.zeros(count, dtype=torch.int64)


def place_among_equals(rows: Tensor) -> Tensor:
    """(N,) how many equal numbers precede each: copies of one sample in one call get one turn each."""
    order = rows.argsort(stable=True)
    ranked = rows[order]
    found = torch.empty_like(rows)
    found[order] = torch.arange(len(rows)) - torch.searchsorted(ranked, ranked)
    return found


@dataclass(frozen=True, slots=True)
class Victim:
    """A model that counts queries; `rows` are its samples' places in the tally, `draws` those of a random defense."""

    model: nn.Module
    tally: Tally
    rows: Tensor
    draws: SampleRNG | None
    eot: int = 1
    half: bool = False  # search in bfloat16; verdicts are taken elsewhere, in float32
    rejects: bool = False  # the last logit is a rejection
    limit: Tensor | None = None  # what each sample's count of queries may not exceed
    observer: Observer | None = None  # sees every answer

    def __getitem__(self, mask: Tensor) -> "Victim":
        draws = None if self.draws is None else self.draws[mask]
        limit = None if self.limit is None else self.limit[mask.to(self.limit.device)]
        return replace(self, rows=self.rows[mask.to(self.rows.device)], draws=draws, limit=limit)

    def copies(self, count: int) -> "Victim":
        """The same model for `count` copies of every sample, one after the other; their queries count for the sample."""
        each = torch.arange(len(self.rows)).repeat_interleave(count)
        draws = None if self.draws is None else self.draws[each.to(self.draws.ids.device)]
        limit = None if self.limit is None else self.limit.repeat_interleave(count)
        return replace(self, rows=self.rows.repeat_interleave(count), draws=draws, limit=limit)

    def _charge(self, counts: Tensor, cost: int) -> None:
        counts.index_add_(0, self.rows, torch.full_like(self.rows, cost))

    def left(self) -> Tensor:
        """(N,) the number of queries left for each sample."""
        if self.limit is None:
            return torch.full((len(self.rows),), PLENTY)
        return (self.limit - self.tally.queries[self.rows]).div(self.eot, rounding_mode="floor").clamp_min(0)

    def __call__(self, x: Tensor) -> Tensor:
        """Logits, averaged over the draws of a random defense; no gradients."""
        self._charge(self.tally.queries, self.eot)
        if self.limit is not None and bool((self.tally.queries[self.rows] > self.limit).any()):
            raise AdvcliError("the method used more queries than --max-queries allows; it must check victim.left() first")
        with torch.no_grad():
            total = self._forward(x)
            for _ in range(self.eot - 1):
                total = total + self._forward(x)
        return self._seen(x, total / self.eot)

    def label(self, x: Tensor) -> Tensor:
        """The decision; -1 if the model rejects."""
        return decision(self(x), self.rejects)

    def sure_label(self, x: Tensor) -> Tensor:
        """The decision as a verdict takes it; -1 if the model rejects, and where several classes share the largest logit."""
        logits = self(x)
        top = split(logits, self.rejects)[0].topk(2, 1).values
        return torch.where(top[:, 0] > top[:, 1], decision(logits, self.rejects), -1)

    def gradient(
        self, x: Tensor, loss: Callable[[Tensor], Tensor], done: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The gradient of a per-sample loss to the image, and the logits of the same forward pass.

        A sample whose logits are `done` may get zeros: if most are done, only the others are differentiated.
        """
        self._charge(self.tally.gradients, self.eot)
        slope, scores = self._slope(x, loss, None if self.eot > 1 or self.draws is not None else done)
        for _ in range(self.eot - 1):
            more, logits = self._slope(x, loss)
            slope, scores = slope + more, scores + logits
        if self.eot > 1:
            slope, scores = slope / self.eot, scores / self.eot
        return slope, self._seen(x, scores, step=True)

    def parts(self, kind: type[Part]) -> Part:
        """The parts of the model, `Leaves` or `References`; reading them costs no query."""
        found = structure_of(self.model)
        if not isinstance(found, kind):
            raise InputError(f"the model offers no {kind.__name__.lower()}, and the attack is made for models that do")
        return found

    def gradients(self, x: Tensor, losses: Callable[[Tensor], Sequence[Tensor]]) -> tuple[Tensor, Tensor]:
        """(M, N, ...) the gradients of M per-sample losses, by one forward pass and M backward passes, and the logits."""
        slopes, scores = self._slopes(x, losses)
        for _ in range(self.eot - 1):
            more, logits = self._slopes(x, losses)
            slopes, scores = slopes + more, scores + logits
        self._charge(self.tally.gradients, self.eot * len(slopes))
        if self.eot > 1:
            slopes, scores = slopes / self.eot, scores / self.eot
        return slopes, self._seen(x, scores)

    def _seen(self, x: Tensor, logits: Tensor, *, step: bool = False) -> Tensor:
        if self.observer is not None:
            self.observer.see(self.rows, x, logits, step=step)
        return logits

    def _slopes(self, x: Tensor, losses: Callable[[Tensor], Sequence[Tensor]]) -> tuple[Tensor, Tensor]:
        point = x.detach().requires_grad_()
        logits = self._forward(point)
        wanted = losses(logits)
        found = [gradient_of(one.sum(), point, keep=k + 1 < len(wanted)) for k, one in enumerate(wanted)]
        return torch.stack(found), logits.detach()

    def _slope(
        self, x: Tensor, loss: Callable[[Tensor], Tensor], done: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        point = x.detach().requires_grad_()
        logits = self._forward(point)
        if done is not None and 2 * int((over := done(logits.detach())).sum()) > len(x):
            return self._slope_of(~over, x, loss, logits.detach()), logits.detach()
        return gradient_of(loss(logits).sum(), point).contiguous(), logits.detach()

    def _slope_of(self, some: Tensor, x: Tensor, loss: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
        """The gradient of some samples, by a separate pass; zero for the others."""
        found = torch.zeros_like(x)
        if bool(some.any()):
            point = x[some].detach().requires_grad_()
            mixed = logits.index_put((some,), self._forward(point))
            found[some] = gradient_of(loss(mixed).sum(), point)
        return found

    def _forward(self, x: Tensor) -> Tensor:
        draws = None
        if self.draws is not None:
            draws = self.draws.at(self.tally.turns[self.rows] + place_among_equals(self.rows))
            self.tally.turns.index_add_(0, self.rows, torch.ones_like(self.rows))
        if not self.half:
            logits: Tensor = self.model(x, draws)
            return logits
        with torch.autocast(x.device.type, torch.bfloat16):
            logits = self.model(x, draws)
        return logits.float()
