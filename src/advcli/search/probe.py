"""A probe of the model: a few of the images to be attacked, and the model's outputs on them, for the model checks.

The images are chosen by a fixed rule, every class in proportion to its size, so that the same command probes the same ones.
Outputs that several checks need are computed once. Decisions are those of the plain model; gradients are computed as in the
search, with a defense's draws and surrogates, on the search's own copy of the model.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from advcli.images.dataset import Dataset, spread
from advcli.networks.logits import gradient_of
from advcli.networks.rejection import split
from advcli.networks.structure import is_affine
from advcli.numerics.quantities import BUDGETS, fraction
from advcli.numerics.rng import Purpose, SampleRNG
from advcli.search.goal import Goal
from advcli.search.job import Job
from advcli.search.victim import Tally, Victim

SEEN, FAR = 8.0, 30.0  # a gap at which a cross-entropy has gradients, and one from which on it has hardly any
NEAR = 1.0  # and one below which it lowers the label's logit and hardly looks for a rival
FEW, CALLS = 3, 4  # the part of the images that is asked about again, and how often: two draws may be the same
TINY = 1e-12
AFFINE = 1e-3  # of the largest logit: what rounding may take from a linear model
COUNT = 24  # images: enough to tell a share of a tenth from none
COUNT_ONE_STEP = 8  # before an attack that asks hardly more itself


@dataclass(frozen=True)
class Probe:
    """Some images and a job's model; `labels` are -1 if unknown."""

    job: Job
    x: Tensor
    labels: Tensor
    ids: Tensor
    surrogate: bool = False  # a defense declares that its gradient is not its own (BPDA)

    @cached_property
    def logits(self) -> Tensor:
        """(N, K) the model's logits; one more column if it can reject."""
        return self.job.verdict(self.x, self.ids)

    @cached_property
    def again(self) -> list[Tensor]:
        """Outputs for the first of the images, in a batch of their own, by several calls with the same draws."""
        few = len(self.x) // FEW + 1
        return [self.job.verdict(self.x[:few], self.ids[:few]) for _ in range(CALLS)]

    @cached_property
    def decided(self) -> Tensor:
        """(N,) the model's classes; -1 for a rejection."""
        return self.job.decide(self.logits)

    @cached_property
    def attacked(self) -> Tensor:
        """(N,) whether the image would be attacked: the model classifies it correctly, or the label is unknown."""
        return (self.decided >= 0) & ((self.labels < 0) | (self.labels == self.decided))

    @cached_property
    def goal(self) -> Goal:
        """The goal to leave the predicted class."""
        return Goal(self.decided.clamp_min(0), rejects=self.job.rejects, scale=self.job.scale)

    @cached_property
    def gap(self) -> float:
        """The median gap between the two largest logits of the attacked images."""
        top = split(self.logits, self.job.rejects)[0][self.attacked].topk(2, 1).values
        return float((top[:, 0] - top[:, 1]).median()) if len(top) else 0.0

    @property
    def scale(self) -> float:
        """The divisor of logits before a softmax during the search: 1, unless they are too far apart for it, or too near."""
        return 1.0 if NEAR <= self.gap <= FAR or self.gap <= 0 else float(f"{self.gap / SEEN:.3g}")

    @cached_property
    def victim(self) -> Victim:
        """The model as the search queries it."""
        count, job = len(self.x), self.job
        draws = SampleRNG(job.seed, self.ids, (Purpose.CHECK,)) if job.random_model else None
        return Victim(job.searched, Tally(count), torch.arange(count), draws, job.eot, job.half, job.rejects)

    @cached_property
    def no_gradient(self) -> str:
        """The reason why the model's output has no gradient to the image; empty if it has one.

        There is none if the two are not connected, if the network fails when a gradient is computed, or if the margin's gradient
        is exactly zero at all images and at as many images of noise.
        """
        try:
            if bool(self.gradients["margin"].any()):
                return ""
            noise = SampleRNG(self.job.seed, self.ids, (Purpose.CHECK, "noise")).uniform(*self.x.shape[1:])
            slope, logits = self.victim.gradient(noise.to(self.x), self.goal.loss("margin"))
        except RuntimeError as error:
            if "memory" in str(error).lower():
                raise
            return f"the network fails when it is asked for one ({' '.join(str(error).split())[:120]})"
        if bool(slope.any()) or not bool(torch.isfinite(logits).all()):
            return ""
        return f"it is exactly zero at all {len(self.x)} images that were tried, and at noise"

    @cached_property
    def gradients(self) -> dict[str, Tensor]:
        """The gradients of the cross-entropy and of the margin, by one forward pass."""
        return self._gradients[0]

    @cached_property
    def _gradients(self) -> tuple[dict[str, Tensor], Tensor]:
        names = ("xent", "margin")
        found, logits = self.victim.gradients(self.x, lambda logits: [self.goal.loss(name)(logits) for name in names])
        return dict(zip(names, found, strict=True)), logits

    @cached_property
    def affine(self) -> bool:
        """True if the logits are linear in the pixels: half-way between an image and noise they are half-way between theirs."""
        noise = SampleRNG(self.job.seed, self.ids, (Purpose.CHECK, "noise")).uniform(*self.x.shape[1:]).to(self.x)
        return is_affine(lambda x: self.job.verdict(x, self.ids), self.x, noise, AFFINE)

    def slope(self, length: float) -> tuple[Tensor, Tensor]:
        """(N,) the change of the margin for each unit of a short step along the signs of its gradient, and the predicted change.

        The step stays in the pixel range; a random model gets the same draws before and after it.
        """
        margin, draws = self.goal.loss("margin"), SampleRNG(self.job.seed, self.ids, (Purpose.CHECK, "slope"))

        def answer(x: Tensor) -> Tensor:
            logits: Tensor = self.job.searched(x, draws)
            return logits

        if self.job.random_model:
            point = self.x.detach().requires_grad_()
            before = answer(point)
            gradient, before = gradient_of(margin(before).sum(), point), before.detach()
        else:
            gradient, before = self.gradients["margin"], self._gradients[1]
        step = ((self.x + length * gradient.sign()).clamp(0, 1) - self.x).detach()
        with torch.no_grad():
            grown = margin(answer(self.x + step)) - margin(before)
        return grown / length, (gradient * step).flatten(1).sum(1) / length

    @cached_property
    def reach(self) -> float:
        """A linf step of the size that this attack may use, at most the default budget."""
        most = float(fraction(BUDGETS["linf"][self.x.shape[1] == 3]))
        return min([most, *(one.value for one in self.job.budgets if self.job.norm == "linf" and one.value > 0)])

    @cached_property
    def after_steps(self) -> dict[str, Tensor]:
        """The verdict's logits after one step of that size: along the gradient of each objective, and in random signs."""
        rng = SampleRNG(self.job.seed, self.ids, (Purpose.CHECK, "signs"))
        signs = {name: one.sign() for name, one in self.gradients.items()}
        signs["random"] = (rng.uniform(*self.x.shape[1:]) - 0.5).sign().to(self.x)
        points = torch.cat([(self.x + self.reach * one).clamp(0, 1) for one in signs.values()])
        found = self.job.verdict(points, self.ids.repeat(len(signs)))
        return dict(zip(signs, found.view(len(signs), len(self.x), -1), strict=True))


def probe_of(job: Job, data: Dataset, *, surrogate: bool = False) -> Probe:
    """The images of a probe: spread over the classes, in their order; few where the search itself is short."""
    count = COUNT_ONE_STEP if job.procedure.few_calls else COUNT
    some = data.rows(spread(data.labels, count))
    x, labels = some.batch(0, count)
    ids = torch.from_numpy(some.index)
    return Probe(job, x.to(job.device), labels.to(job.device), ids.to(job.device), surrogate)
