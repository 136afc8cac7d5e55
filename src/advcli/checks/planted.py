"""Whether the attack finds adversarial examples that were planted for it.

On a few images the model is turned into a detector of one point: of a random point c near the edge of the image's ball and
other random points p_i of the ball, w z(c) > b > w z(p_i) for the model's logits z, with w the linear discriminant. The attack
starts at the image, whose class is that of all p_i, and has to find the other class. It exists, so an attack that does not find
it would not find other adversarial examples either (Zimmermann et al. 2022, arXiv:2206.13991).
"""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from advcli.catalog.registry import check
from advcli.files.check_results import Result, judged
from advcli.numerics.balls import FREE, Ball
from advcli.numerics.rng import Purpose, SampleRNG
from advcli.search.goal import Goal
from advcli.search.probe import Probe
from advcli.search.procedure import procedure_of
from advcli.search.victim import Tally, Victim

IMAGES, POINTS = 6, 12  # attacked, and points of each one's ball on the image's side
LEAST = 4  # images at which a point could be planted
RIDGE = 1e-3  # of the mean variance, added to each
GAP = 8.0  # of the two scores at the planted point and at the nearest of the others: a cross-entropy has gradients there
WARN, FAIL = 0.25, 0.6  # of the planted points are not found


@dataclass(frozen=True, kw_only=True)
class Detector(Victim):
    """Two classes from the model's logits: whether w z > b, with a w and a b of each image."""

    weight: Tensor  # (N, K)
    bias: Tensor  # (N,)

    def _forward(self, x: Tensor) -> Tensor:
        score = (Victim._forward(self, x) * self.weight[self.rows]).sum(1) - self.bias[self.rows]
        return torch.stack([-score, score], 1) / 2


@check(of="model", access=("gradient",), paper="arXiv:2206.13991")
def planted(probe: Probe) -> Result | None:
    job = probe.job
    eps = max((one.value for one in job.budgets if isfinite(one.value)), default=0.0)
    if job.method.spec.traits.kind != "budget" or job.target or job.rejects or job.norm in FREE or not eps:
        return None
    some = probe.attacked.nonzero()[:IMAGES, 0]
    if len(some) < LEAST:
        return None
    x, ids = probe.x[some], probe.ids[some]
    ball = Ball(x, torch.full((len(x),), eps, device=x.device), job.norm)
    rng = SampleRNG(job.seed, ids, (Purpose.CHECK, "planted"))
    outer = ball.project(x + 2 * (ball.random_point(rng) - x))
    draws = probe.victim[some].draws
    others = [x, *(ball.random_point(rng.fork("other", k)) for k in range(POINTS - 1))]
    victim = Victim(job.searched, Tally(len(x)), torch.arange(len(x)), draws, job.eot)
    weight, bias, parted = discriminant(victim(outer), torch.stack([victim(one) for one in others]))
    if int(parted.sum()) < LEAST:
        return None
    detector = Detector(job.searched, Tally(len(x)), torch.arange(len(x)), draws, job.eot, weight=weight, bias=bias)
    goal = Goal(torch.zeros(len(x), dtype=torch.int64, device=x.device))
    method = replace(job.method, parameters={**job.method.parameters, **_for_two_classes(job.method.parameters)})
    point = procedure_of(method).point(method, detector, ball, goal, rng.fork("attack"), early_stop=False)
    missed, count = int((parted & ~goal.reached(detector(point))).sum()), int(parted.sum())
    return judged(
        missed / count,
        count,
        warn=WARN,
        fail=FAIL,
        found=f"the attack does not find {missed} of {count} adversarial examples that were planted for it",
        advice="it would miss others too; give it more --steps or another --objective, or use --method square",
    )


def _for_two_classes(parameters: dict[str, Any]) -> dict[str, Any]:
    """The options of an attack that need more than two classes, without them."""
    return {"targets": 0} if parameters.get("targets") else {}


def discriminant(planted: Tensor, others: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, K) w and (N,) b that part each planted point's logits (N, K) from those of the others (P, N, K), and where they do."""
    z, far = others.transpose(0, 1).double(), planted.double()
    mean = z.mean(1, keepdim=True)
    spread = (z - mean).transpose(1, 2) @ (z - mean) / z.shape[1]
    ridge = RIDGE * spread.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(z.shape[2], dtype=z.dtype, device=z.device)
    w = torch.linalg.lstsq(spread + ridge, (far - mean[:, 0])[:, :, None]).solution[:, :, 0]
    top, nearest = (w * far).sum(1), (z @ w[:, :, None])[:, :, 0].amax(1)
    gap = top - nearest
    parted = torch.isfinite(gap) & (gap > 1e-6 * top.abs())
    scale = torch.where(parted, GAP / gap, 0)
    return (w * scale[:, None]).to(planted), (scale * (top + nearest) / 2).to(planted), parted
