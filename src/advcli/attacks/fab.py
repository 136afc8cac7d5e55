"""FAB: step to the nearest linearised boundary, leaning towards the original image, and back whenever it is crossed.

Around x the leads z_k - z_own of other classes are taken for linear, and the nearest of their planes inside [0, 1] is
aimed at: d is the shortest step to it from x, d_0 that from the original x_0, and x becomes (1 - a)(x + eta d) + a (x_0 +
eta d_0) with a = min(|d| / (|d| + |d_0|), alpha_max). A point behind the boundary is kept if it is the closest so far, and
the search goes on from x_0 + beta (x - x_0). At the end comes a search along the line between the closest point and x_0. Three
things differ from the paper. A step looks at the classes alone whose boundaries are nearest, by their distances from the
image and their leads since (--targets 0: at all of them). An image whose closest point has hardly moved for ten steps is
done (--no-early-stop takes all steps). And one that five steps have not brought across leans no more until it is; of a model
that can reject it then goes through the detector's sight, as in `search/newton.py`.
"""

from dataclasses import dataclass, fields
from typing import Annotated, Literal

import torch
from torch import Tensor

from advcli.catalog.options import Steps
from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.numerics.balls import TINY, Ball, per_sample
from advcli.numerics.planes import onto_plane
from advcli.numerics.rng import SampleRNG
from advcli.search.best import Closest, take
from advcli.search.goal import Goal
from advcli.search.leads import LOOK, deeper, leads_of, top_rivals
from advcli.search.victim import Victim

SLACK = 1e-3  # of the first lead that a step aims beyond a boundary
QUERIES = 3  # of the last search
PATIENCE = 10  # steps without
GAIN = 1e-3  # of the distance
STRAY = 5  # steps after which one that has not crossed the boundary yet leans no more: leaning can hold it off
SIGHT = 12  # steps after which it goes through a detector's sight
BLIND = 0.1  # a random start's distance in every pixel, where no point behind the boundary is known


@dataclass(frozen=True, slots=True)
class Lean:
    """The settings of the steps."""

    norm: str
    targets: int  # classes; 0: all
    alpha_max: float
    eta: float
    beta: float
    patience: int  # steps without gain


@dataclass(frozen=True, slots=True)
class Known:
    """What the first look at the images has shown; can be indexed by a mask."""

    origin: Tensor
    rivals: Tensor  # (N, M) classes
    rate: Tensor  # (N, M) how fast each lead rises on the shortest way to its boundary
    slack: Tensor  # (N,) the lead that a step aims at
    own: Tensor  # (N,) the lead of the image's own class
    enough: Tensor  # (N,) the distance that no image needs to be closer than

    def __getitem__(self, mask: Tensor) -> "Known":
        return Known(*(getattr(self, one.name)[mask] for one in fields(self)))

    def nearest(self, logits: Tensor, goal: Goal, count: int) -> Tensor:
        """(N, count) the classes whose boundaries are nearest to a point with these logits."""
        if not 0 < count < self.rivals.shape[1]:
            return self.rivals
        leads = torch.stack(leads_of(goal, self.rivals)(logits), 1)
        return self.rivals.gather(1, (leads.abs() / self.rate).topk(count, 1, largest=False).indices)


@attack(family="minimal", kind="minimal", norms=("linf", "l2", "l1"), access="gradient", paper="arXiv:1907.02044")
def fab(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    early_stop: bool,
    within: Tensor,
    norm: Annotated[Literal["linf", "l2", "l1"], Param("Norm of the distance.")] = "linf",
    steps: Steps = 100,
    starts: Annotated[
        int, Param("Starting points: the image, then random ones within half the closest distance so far.", low=1)
    ] = 1,
    targets: Annotated[int, Param("Classes that a step looks at: those with the nearest boundaries; 0: all.", low=0)] = 3,
    alpha_max: Annotated[float, Param("How far a step leans towards the image at most.", low=0, high=1)] = 0.1,
    eta: Annotated[float, Param("How far a step goes, as a multiple of the way to the boundary.", low=1, high=2)] = 1.05,
    beta: Annotated[float, Param("What is kept of the perturbation once the boundary is crossed.", low=0, high=1)] = 0.9,
) -> Tensor:
    closest, lean = Closest(x, norm), Lean(norm, targets, alpha_max, eta, beta, PATIENCE if early_stop else steps)
    enough = torch.where(within.isfinite(), within, 0) if early_stop else torch.zeros_like(within)
    margin = goal.margin(logits := victim(x))
    known, point, able = first_step(victim, goal, x, logits, enough, lean)
    victim, goal, known, point, margin, rng = take(able, victim, goal, known, point, margin, rng)
    rows = able.nonzero()[:, 0]
    for start in range(starts if len(rows) else 0):
        if start:
            point = random_start(known.origin, closest.distance[rows], norm, rng.fork("start", start))
        descend(victim, goal, known, rows, point, closest, lean, steps - (start == 0))
        draw_back(victim, goal, known, rows, margin, closest)
    return closest.x


def first_step(victim: Victim, goal: Goal, x: Tensor, logits: Tensor, enough: Tensor, lean: Lean) -> tuple[Known, Tensor, Tensor]:
    """What is known of the images, the points after one step, and which images have a slope to follow."""
    rivals = top_rivals(logits, goal, max(LOOK, lean.targets) if lean.targets else logits.shape[1])
    slack, own = torch.maximum(-SLACK * goal.margin(logits), 2 * goal.sure(logits)), -goal.lead(logits)
    slopes, logits = victim.gradients(x, leads_of(goal, rivals))
    leads = torch.stack(leads_of(goal, rivals)(logits))
    point, lengths = lean_step(slopes, leads, x, x, slack, lean, torch.zeros_like(slack))
    rate = (leads.abs() / lengths).clamp_min(TINY)
    return Known(x, rivals, rate.T, slack, own, enough), point, lengths.isfinite().any(0)


def descend(victim: Victim, goal: Goal, known: Known, rows: Tensor, x: Tensor, closest: Closest, lean: Lean, steps: int) -> None:
    """The steps from one start; offers every point behind the boundary."""
    idle, able = torch.zeros_like(rows), torch.ones_like(rows, dtype=torch.bool)
    deep = torch.zeros_like(known.own)  # how deep each image is to go, whatever a detector says
    for step in range(steps + 1):
        before, logits = closest.distance[rows], victim(x)
        reached = goal.reached(logits)
        closest.offer(rows, x, reached)
        far = closest.distance[rows]
        idle = torch.where(far < (1 - GAIN) * before, 0, idle + 1)
        live = able & ((idle <= lean.patience) | far.isinf()) & (far > known.enough)
        x = torch.where(per_sample(reached, x), known.origin + lean.beta * (x - known.origin), x)
        victim, goal, known, rows, x, idle, deep, logits = take(live, victim, goal, known, rows, x, idle, deep, logits)
        if not len(rows) or step == steps:
            return
        lost = closest.distance[rows].isinf() & (step >= STRAY)
        if goal.rejects and step >= SIGHT:
            deep = torch.where(lost, deeper(deep, known.own, goal.lead(logits)), torch.inf)
        aims = leads_of(goal, known.nearest(logits, goal, lean.targets), deep=deep)
        slopes, logits = victim.gradients(x, aims)
        leads = torch.stack(aims(logits))
        alpha = torch.where(lost, 0.0, torch.full_like(known.slack, lean.alpha_max))
        x, lengths = lean_step(slopes, leads, x, known.origin, known.slack, lean, alpha)
        able = lengths.isfinite().any(0)


def lean_step(
    slopes: Tensor, leads: Tensor, x: Tensor, origin: Tensor, slack: Tensor, lean: Lean, alpha: Tensor
) -> tuple[Tensor, Tensor]:
    """The next point, which leans by `alpha` (N,) at most, and (M, N) how far the boundary of every lead is from x."""
    count, gains = len(slopes), slack - leads
    steps, far = onto_plane(slopes.flatten(0, 1), gains.flatten(), x.expand(count, *x.shape).flatten(0, 1), lean.norm)
    nearest, lengths = far.view(count, -1).argmin(0), far.view(count, -1)
    pick = (nearest, torch.arange(len(x), device=x.device))
    slope, step, length = slopes[pick], steps.view_as(slopes)[pick], lengths[pick]
    gain = gains[pick] - (slope * (origin - x)).flatten(1).sum(1)
    back, whole = onto_plane(slope, gain, origin, lean.norm)
    alpha = per_sample((length / (length + whole)).nan_to_num(0).minimum(alpha), x)
    return ((1 - alpha) * (x + lean.eta * step) + alpha * (origin + lean.eta * back)).clamp(0, 1), lengths


def random_start(origin: Tensor, far: Tensor, norm: str, rng: SampleRNG) -> Tensor:
    """A random point within half the distance that is known, or within a small one."""
    size = origin[:1].numel()
    blind = BLIND * {"linf": 1.0, "l2": size**0.5, "l1": size}[norm]
    radius = torch.where(far.isfinite(), far / 2, blind).to(origin)
    return Ball(origin, radius, norm).random_point(rng)


def draw_back(victim: Victim, goal: Goal, known: Known, rows: Tensor, margin: Tensor, closest: Closest) -> None:
    """Search the line from the original to the closest point for where the boundary is crossed, by secants."""
    far = closest.distance[rows]
    victim, goal, known, rows, low = take(far.isfinite() & (far > known.enough), victim, goal, known, rows, margin)
    if not len(rows):
        return
    end, logits = closest.x[rows], victim(closest.x[rows])
    high, aim = goal.margin(logits), 2 * goal.sure(logits)
    start, stop = torch.zeros_like(low), torch.ones_like(low)
    for _ in range(QUERIES):
        share = ((aim - low) / (high - low).clamp_min(TINY)).clamp(0.05, 1)
        place = start + share * (stop - start)
        x = known.origin + per_sample(place, end) * (end - known.origin)
        logits = victim(x)
        margin, reached = goal.margin(logits), goal.reached(logits)
        closest.offer(rows, x, reached)
        start, low = torch.where(reached, start, place), torch.where(reached, low, margin)
        stop, high = torch.where(reached, place, stop), torch.where(reached, margin, high)
