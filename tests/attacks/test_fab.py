"""FAB: its path against a plain computation for one image, and what it saves without losing anything."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor, nn

from advcli.attacks import fab as module
from advcli.attacks.fab import PATIENCE, QUERIES, SLACK, fab
from advcli.numerics.balls import distance
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from advcli.search.leads import LOOK
from advcli.search.victim import Tally, Victim
from conftest import attacked
from small_networks import Affine, Small, pictures

NORMS = ("linf", "l2", "l1")


class Curved(nn.Module):
    """A smooth network that writes down where it was asked."""

    def __init__(self, classes: int = 5, size: int = 24, gain: float = 3, seed: int = 5) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(size, 24), nn.Tanh(), nn.Linear(24, classes))
            for one in self.net.parameters():
                one.data *= gain
        self.asked: list[Tensor] = []

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        self.asked.append(x.detach().clone())
        return self.net(x)


class Bent(nn.Module):
    """A network that bends so much that its slopes say little of what is near."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            middle = [layer for _ in range(2) for layer in (nn.Linear(24, 24), nn.Tanh())]
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(48, 24), nn.Tanh(), *middle, nn.Linear(24, 3))
            for one in self.net.parameters():
                one.data *= 12

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        return self.net(x)


def far(made, norm) -> Tensor:
    return distance(torch.from_numpy(made["images"]), torch.from_numpy(made["originals"]), norm)


def projected(x, g, gain, norm):
    """The shortest way inside [0, 1] that changes <g, x> by `gain`, in NumPy: by bisection, l1 as a linear program."""
    g, gain = (g, gain) if gain > 0 else (-g, -gain)
    room = np.where(g > 0, 1 - x, x)
    if norm == "l1":
        found = linprog(np.ones(len(x)), A_eq=np.abs(g)[None], b_eq=[gain], bounds=[(0, one) for one in room])
        return np.sign(g) * found.x if found.success else np.sign(g) * room
    rate = np.abs(g) if norm == "l2" else 1.0
    low, high = 0.0, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (low, middle) if np.abs(g) @ np.minimum(middle * rate, room) >= gain else (middle, high)
    return np.sign(g) * np.minimum(high * rate, room)


def one_by_the_paper(model, x0, y, norm, steps, alpha_max=0.1, eta=1.05, beta=0.9):
    """Algorithm 1 of arXiv:1907.02044 for one image, all classes: the points at which it asks, before its last search."""
    order = {"linf": np.inf, "l2": 2, "l1": 1}[norm]

    def at(point):
        z = torch.from_numpy(point)[None].requires_grad_()
        logits = model.net(z)[0]
        others = [k for k in range(len(logits)) if k != y]
        rows = [torch.autograd.grad(logits[k] - logits[y], z, retain_graph=True)[0][0].numpy() for k in others]
        return np.array([(logits[k] - logits[y]).item() for k in others]), rows

    slack, x, won, asked = -SLACK * at(x0)[0].max(), x0, False, [x0]
    for k in range(steps):
        if k:
            asked.append(x)
            if at(x)[0].max() > 0:
                won, x = True, x0 + beta * (x - x0)
        asked.append(x)
        leads, rows = at(x)
        ways = [projected(x, g, slack - lead, norm) for lead, g in zip(leads, rows, strict=True)]
        s = int(np.argmin([np.linalg.norm(d, order) for d in ways]))
        d, d0 = ways[s], projected(x0, rows[s], slack - leads[s] - rows[s] @ (x0 - x), norm)
        alpha = min(np.linalg.norm(d, order) / (np.linalg.norm(d, order) + np.linalg.norm(d0, order)), alpha_max)
        alpha = alpha if won or k <= module.STRAY else 0
        x = np.clip((1 - alpha) * (x + eta * d) + alpha * (x0 + eta * d0), 0, 1)
    return [*asked, x]


@pytest.mark.parametrize("norm", NORMS)
def test_goes_where_the_paper_says(norm):
    model, x = Curved().requires_grad_(False).double(), pictures((1, 4, 6), 6).double()
    label, crossings = model(x).argmax(1), 0
    for k in range(len(x)):
        model.asked.clear()
        victim = Victim(model, Tally(1), torch.zeros(1, dtype=torch.int64), None)
        nowhere, draws = x.new_full((1,), torch.inf), SampleRNG(0, torch.zeros(1, dtype=torch.int64))
        settings = {"norm": norm, "steps": 12, "targets": 0}
        one, goal = x[k : k + 1], Goal(label[k : k + 1])
        fab(victim, one, goal, rng=draws, early_stop=False, within=nowhere, **settings)
        wanted = one_by_the_paper(model, x[k].flatten().numpy(), int(label[k]), norm, 12)
        asked = [found.flatten().numpy() for found in model.asked]
        assert len(asked) == len(wanted) + 1 + QUERIES
        np.testing.assert_allclose(np.array(asked[: len(wanted)]), np.array(wanted), atol=1e-4)
        crossings += sum(bool(goal.reached(model.net(found)).all()) for found in model.asked[:-4])
    assert crossings > 12, "the case is no case unless the boundary is crossed again and again"


@pytest.mark.parametrize("classes", [4, 20])
@pytest.mark.parametrize("targets", [0, 1, 3, 12])
def test_a_step_pays_for_as_many_classes_as_it_looks_at(classes, targets):
    model, x = Curved(classes), pictures((1, 4, 6), 10)
    made = attacked("fab", model, x, model(x).argmax(1), options={"targets": targets, "steps": 6}, early_stop=False)
    every = classes - 1
    first, later = (min(max(LOOK, targets), every), min(targets, every)) if targets else (every, every)
    assert made["success"].all()
    assert (made["gradients"] == first + 5 * later).all()


@pytest.mark.parametrize("norm", NORMS)
def test_the_nearest_classes_are_enough(norm):
    model, x = Affine((1, 4, 6), 10), pictures((1, 4, 6), 40)
    label = model(x).argmax(1)
    few, every = (far(attacked("fab", model, x, label, options={"norm": norm, "targets": n}), norm) for n in (2, 0))
    assert (few <= 1.02 * every).all(), "nearest by the distance from the image, not by the score"
    model = Curved(10)
    label = model(x).argmax(1)
    few, every = (far(attacked("fab", model, x, label, options={"norm": norm, "targets": n}), norm) for n in (3, 0))
    assert few.median() <= 1.02 * every.median()


@pytest.mark.parametrize("norm", NORMS)
def test_more_starts_and_full_strength_never_lose_and_sometimes_gain(norm):
    model, x = Curved(gain=6), pictures((1, 4, 6), 60)
    label = model(x).argmax(1)
    plain, more = (attacked("fab", model, x, label, options={"norm": norm, "steps": 30, "starts": n}) for n in (1, 4))
    full = attacked("fab", model, x, label, options={"norm": norm, "steps": 30}, early_stop=False)
    assert plain["success"].all()
    assert (far(more, norm) <= far(plain, norm) + 1e-6).all()
    assert (far(full, norm) <= 1.02 * far(plain, norm)).all()
    assert far(full, norm).mean() < far(plain, norm).mean()
    assert (far(more, norm) < 0.99 * far(plain, norm)).any()
    assert (plain["gradients"] < full["gradients"]).mean() > 0.5, "those whose closest point stands still are left out"
    assert (plain["gradients"] >= 3 * (PATIENCE - 1)).all()


def test_the_last_search_takes_back_what_a_step_went_too_far(halfspace):
    x = 0.5 + 0.05 * torch.rand(6, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    made = attacked("fab", halfspace, x, halfspace(x).argmax(1), options={"norm": "l2", "steps": 1, "eta": 1.5})
    assert made["success"].all()
    assert (far(made, "l2") <= 1.002 * halfspace.distance(x, "l2")).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_leaning_holds_no_image_off_the_boundary(norm, monkeypatch):
    model, x = Bent().requires_grad_(False), pictures((3, 4, 4), 40)
    label = model(x).argmax(1)
    made = attacked("fab", model, x, label, options={"norm": norm, "steps": 40})
    assert made["success"].all()
    monkeypatch.setattr(module, "STRAY", 1000)
    held = attacked("fab", model, x, label, options={"norm": norm, "steps": 40})
    assert not held["success"].all(), "the case is no case unless leaning all the time fails"


def test_a_stage_of_a_cascade_stops_where_it_is_close_enough():
    model, x = Small((1, 6, 6), 5), pictures((1, 6, 6), 30)
    label = model(x).argmax(1)
    near = attacked("fab", model, x, label)
    victim, draws = Victim(model, Tally(30), torch.arange(30), None), SampleRNG(0, torch.arange(30))
    reach = far(near, "linf").median().expand(30).float() * 1.3
    found = fab(victim, x, Goal(label), rng=draws, early_stop=True, within=reach)
    inside = distance(found, x, "linf") <= reach
    assert torch.equal(inside, far(near, "linf") <= reach)
    assert bool(inside.any())
    spent = victim.tally.gradients.numpy()
    assert (spent[inside.numpy()] < near["gradients"][inside.numpy()]).all()
    assert (spent[~inside.numpy()] == near["gradients"][~inside.numpy()]).all()
