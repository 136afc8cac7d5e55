"""Attacks within a budget: each against a plain computation of what its paper says."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advcli.attacks.apgd import apgd, checkpoints
from advcli.attacks.dgsm import dgsm
from advcli.attacks.mim import evened, mim
from advcli.numerics.losses import dlr, dlr_between, dlr_towards, margin
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from advcli.search.victim import Tally, Victim
from conftest import attacked


class Curved(nn.Module):
    """A smooth network that writes down where it was asked."""

    def __init__(self, classes: int = 5, size: int = 48) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(size, 24), nn.Tanh(), nn.Linear(24, classes))
            for one in self.net.parameters():
                one.data *= 3
        self.asked: list[Tensor] = []

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        self.asked.append(x.detach().clone())
        return self.net(x)


def pictures(count: int) -> Tensor:
    """Colour pictures with some pixels that are exactly black or white."""
    return (torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(2)) * 1.2 - 0.1).clamp(0, 1)


def run(method, model, x, label, eps, *, targeted=False, early_stop=False, **options):
    """A method on a whole batch, without the pipeline around it."""
    count = len(x)
    victim = Victim(model, Tally(count), torch.arange(count), None)
    draws = SampleRNG(0, torch.arange(count))
    return method(victim, x, Goal(label, targeted), x.new_full((count,), eps), rng=draws, early_stop=early_stop, **options)


def slope(model, x, label, loss):
    point = x.clone().requires_grad_()
    value = loss(model.net(point[None])[0], label)
    return torch.autograd.grad(value, point)[0], value.item()


def inside(point, x, eps, norm):
    d = point - x
    d = d.clamp(-eps, eps) if norm == "linf" else d * min(1.0, eps / max(d.norm().item(), 1e-12))
    return (x + d).clamp(0, 1)


def steepest(g, norm):
    return g.sign() if norm == "linf" else g / max(g.norm().item(), 1e-12)  # dlr is flat once the class is only third


def plain_xent(z, y):
    return z.logsumexp(0) - z[y]


def plain_dlr(z, y):
    top = z.sort(descending=True).values
    rival = max(z[k] for k in range(len(z)) if k != y)
    return -(z[y] - rival) / (top[0] - top[2] + 1e-12)


def plain_towards(z, t):
    top = z.sort(descending=True).values
    rival = max(z[k] for k in range(len(z)) if k != t)
    return -(rival - z[t]) / (top[0] - (top[2] + top[3]) / 2)


def one_by_the_paper(model, x, y, eps, norm, steps, loss):
    """Algorithm 1 of arXiv:2003.01690 for one picture, line by line: (points, step sizes, the best value). In float64,
    for a rise is a rise however small it is."""
    p = [0.0, 0.22]
    while p[-1] < 1:
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
    w = sorted({math.ceil(round(one * steps, 6)) for one in p})
    eta, points, f = [2 * eps] * (steps + 1), [x], []
    g, value = slope(model, x, y, loss)
    f.append(value)
    points.append(inside(x + eta[0] * steepest(g, norm), x, eps, norm))
    f.append(slope(model, points[1], y, loss)[1])
    best = points[0] if f[0] >= f[1] else points[1]
    best_after, halved_at = [f[0], max(f[:2])], set()  # the best of the first k steps
    for k in range(1, steps):
        g = slope(model, points[k], y, loss)[0]
        z = inside(points[k] + eta[k] * steepest(g, norm), x, eps, norm)
        new = inside(points[k] + 0.75 * (z - points[k]) + 0.25 * (points[k] - points[k - 1]), x, eps, norm)
        value, eta[k + 1] = slope(model, new, y, loss)[1], eta[k]
        if value > best_after[-1]:
            best = new
        best_after.append(max(value, best_after[-1]))
        if k in w:
            first = w[w.index(k) - 1]
            rose = sum(f[i + 1] > f[i] for i in range(first, k))
            if rose < 0.75 * (k - first) or (first not in halved_at and best_after[first] == best_after[k]):
                halved_at.add(k)
                eta[k + 1], new, value = eta[k] / 2, best, best_after[-1]
        points.append(new)
        f.append(value)
    return points, eta, best_after[-1]


@pytest.mark.parametrize(("objective", "loss"), [("xent", plain_xent), ("dlr", plain_dlr)])
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.08), ("l2", 0.5)])
@pytest.mark.parametrize("steps", [7, 60])
def test_apgd_goes_where_the_paper_says(norm, eps, objective, loss, steps):
    model, x = Curved().requires_grad_(False).double(), pictures(4).double()
    label = model(x).argmax(1)
    halvings = 0
    for k in range(len(x)):
        points, eta, value = one_by_the_paper(model, x[k], int(label[k]), eps, norm, steps, loss)
        model.asked.clear()
        run(apgd, model, x[k : k + 1], label[k : k + 1], eps, norm=norm, steps=steps, objective=objective, random_start=False)
        asked = [one[0] for one in model.asked]
        assert len(asked) == steps + 1, "a gradient for every step and one look at the end"
        restarts = {k + 1 for k in range(steps) if eta[k + 1] < eta[k]}  # there it goes on from a point it knows
        halvings += len(restarts)
        for n, (found, wanted) in enumerate(zip(asked, points, strict=True)):
            if n not in restarts:
                torch.testing.assert_close(found, wanted, atol=2e-6, rtol=0, msg=f"point {n} of picture {k}")
        found = max(slope(model, one, int(label[k]), loss)[1] for one in asked)
        assert found == pytest.approx(value, rel=1e-9)
    assert steps == 7 or halvings > 4, "the case is no case unless steps are halved"


def plain_between(target):
    def loss(z, y):
        top = z.sort(descending=True).values
        return (z[target] - z[y]) / (top[0] - (top[2] + top[3]) / 2)

    return loss


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.08), ("l2", 0.5)])
def test_apgd_climbs_towards_the_classes_with_the_nearest_boundaries_in_turn(norm, eps):
    model, x, steps = Curved().requires_grad_(False).double(), pictures(4).double(), 20
    label = model(x).argmax(1)
    for k in range(len(x)):
        y, near = int(label[k]), {}
        for target in set(range(5)) - {y}:
            g, lead = slope(model, x[k], y, lambda z, own, target=target: z[own] - z[target])
            near[target] = lead / g.norm(p=1 if norm == "linf" else 2).item()
        model.asked.clear()
        chosen = {"norm": norm, "steps": steps, "targets": 2, "random_start": False}
        run(apgd, model, x[k : k + 1], label[k : k + 1], eps, **chosen)
        asked = [one[0] for one in model.asked][2:]  # after the scores, and a gradient for every class
        for number, target in enumerate(sorted(near, key=near.__getitem__)[:2]):
            points, eta, _ = one_by_the_paper(model, x[k], y, eps, norm, steps, plain_between(target))
            restarts = {n + 1 for n in range(steps) if eta[n + 1] < eta[n]}
            own = asked[number * (steps + 1) : (number + 1) * (steps + 1)]
            for n, (found, wanted) in enumerate(zip(own, points, strict=True)):
                if n not in restarts:
                    torch.testing.assert_close(found, wanted, atol=2e-6, rtol=0, msg=f"point {n} towards {target}")
        assert len(asked) == 2 * (steps + 1)


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_apgd_towards_targets_leaves_out_what_has_fallen_to_any_class(classes):
    model, x = Curved(classes), pictures(40)
    label = model(x).argmax(1)
    made, full = (
        attacked("apgd", model, x, label, "0.1", early_stop=flag, options={"steps": 15, "targets": 3}) for flag in (True, False)
    )
    others, runs = min(10, classes - 1), min(3, classes - 1)
    won = made["success"].astype(bool)
    assert won.any()
    assert (made["prediction"][won] != label.numpy()[won]).all()
    assert (made["gradients"][~won] == others + runs * 15).all()
    assert (made["gradients"][won] < others + runs * 15).all()
    assert (full["gradients"] == others + runs * 15).all()
    assert full["success"][won].all()
    alone = attacked("apgd", model, x, label, "0.1", options={"steps": 15, "objective": "margin"})["success"]
    assert made["success"].mean() >= alone.mean() - 0.05


def test_apgd_says_where_classes_are_too_few_for_its_loss(run, folder):
    assert run("train", "--classes", "0,1,2", "--epochs", "2").code == 0
    words = ("attack", "--method", "apgd", "--limit", "6", "--steps", "3", "--force")
    said = "the model has 3 classes, and the DLR loss needs {}: the margin was climbed instead"
    assert said.format(4) in run(*words, "--targets", "2").err
    assert said.format(4) in run(*words, "--objective", "dlr", "--target", "next").err
    for quiet in ((), ("--objective", "dlr"), ("--target", "next")):
        assert "DLR" not in run(*words, *quiet).err
    refused = run(*words, "--targets", "2", "--target", "next")
    assert refused.code != 0
    assert "give only one of them" in refused.err


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_apgd_treats_every_picture_of_a_batch_as_if_it_were_alone(norm):
    model, x = Curved().requires_grad_(False), pictures(8)
    label = model(x).argmax(1)
    together = run(apgd, model, x, label, 0.3, norm=norm, steps=60)
    goal, ids = Goal(label), torch.arange(len(x))
    for k in range(len(x)):
        victim, draws = Victim(model, Tally(1), torch.zeros(1, dtype=torch.int64), None), SampleRNG(0, ids[k : k + 1])
        one = goal[ids == k]
        alone = apgd(victim, x[k : k + 1], one, torch.tensor([0.3]), rng=draws, early_stop=False, norm=norm, steps=60)
        assert one.margin(model(together[k : k + 1])).item() == pytest.approx(one.margin(model(alone)).item(), abs=1e-3)


def test_the_checkpoints_of_the_paper():
    assert checkpoints(100) == [0, 22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(10) == [0, 3, 5, 6, 7, 8, 9]
    assert checkpoints(1) == [0]


def test_dlr_by_hand():
    z = torch.tensor([[3.0, 1.0, 0.0, -2.0]])
    assert dlr(z, torch.tensor([0])).item() == pytest.approx(-2 / 3)
    assert dlr(z, torch.tensor([2])).item() == pytest.approx(1)
    assert dlr_towards(z, torch.tensor([2])).item() == pytest.approx(3 / 4)
    assert dlr_towards(z, torch.tensor([0])).item() == pytest.approx(-2 / 4)
    own, target = torch.tensor([0]), torch.tensor([2])
    assert dlr_between(z, own, target).item() == pytest.approx(-3 / 4)
    assert dlr_between(z[:, :3], own, target).item() == pytest.approx(-1)
    assert dlr_between(z[:, [0, 2]], own, torch.tensor([1])).item() == pytest.approx(-3)
    three = z[:, :3].clone().requires_grad_()
    slopes = torch.autograd.grad(dlr_between(three, own, target).sum(), three)[0][0]
    assert slopes.tolist() == pytest.approx([-1 / 3, 0, 1 / 3]), "level, were the spread not taken as a constant"


@pytest.mark.parametrize("loss", [dlr, dlr_towards, lambda z, label: dlr_between(z, label, (label + 1) % 6)])
def test_dlr_knows_no_scale_and_no_offset(loss):
    z = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    label = torch.arange(50) % 6
    torch.testing.assert_close(loss(1000 * z + 7, label), loss(z, label), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("loss", "fewest"), [(dlr, 3), (dlr_towards, 4)])
@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_dlr_is_the_margin_where_there_are_too_few_classes(loss, fewest, classes):
    z, label = torch.randn(9, classes, generator=torch.Generator().manual_seed(1)), torch.arange(9) % classes
    assert torch.equal(loss(z, label), margin(z, label)) == (classes < fewest)
    level = torch.ones(3, classes).requires_grad_()
    gradient = torch.autograd.grad(loss(level, torch.zeros(3, dtype=torch.int64)).sum(), level)[0]
    assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 4, 10])
@pytest.mark.parametrize("method", ["apgd", "pgd"])
def test_dlr_finds_what_cross_entropy_finds(method, classes, targeted):
    model, x = Curved(classes).requires_grad_(False), pictures(40)
    label, settings = model(x).argmax(1), {"target": "next"} if targeted else {}
    made = {
        name: attacked(method, model, x, label, "0.15", options={"objective": name, "steps": 20}, **settings)["success"]
        for name in ("xent", "dlr")
    }
    assert made["dlr"].mean() >= made["xent"].mean() - 0.1
    assert made["dlr"].any()


@pytest.mark.parametrize("method", ["apgd", "mim"])
def test_finished_pictures_cost_nothing_more(method):
    model, x = Curved(), pictures(30)
    label = model(x).argmax(1)
    first, full = (attacked(method, model, x, label, "0.1", early_stop=flag, options={"steps": 25}) for flag in (True, False))
    won = first["success"].astype(bool)
    assert won.any()
    assert (full["gradients"] == 25).all()
    assert (full["queries"] == 1).all()
    assert (first["gradients"][won] < 25).any()
    assert (first["gradients"][~won] == 25).all()
    assert full["success"][won].all(), "the deepest point of the same path"


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 0.6)])
@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_mim_goes_where_the_paper_says(norm, eps, decay, sign):
    model, x = Curved().requires_grad_(False), pictures(5)
    label = model(x).argmax(1) if sign == 1 else (model(x).argmax(1) + 1) % 5
    for k in range(len(x)):
        point, momentum, wanted = x[k], torch.zeros_like(x[k]), [x[k]]
        for _ in range(8):
            g = sign * slope(model, point, int(label[k]), plain_xent)[0]
            momentum = decay * momentum + g / g.abs().mean()
            point = inside(point + eps / 8 * steepest(momentum, norm), x[k], eps, norm)
            wanted.append(point)
        model.asked.clear()
        run(mim, model, x[k : k + 1], label[k : k + 1], eps, norm=norm, steps=8, decay=decay, targeted=sign == -1)
        torch.testing.assert_close(torch.cat(model.asked), torch.stack(wanted), atol=2e-6, rtol=0)


def test_a_zero_gradient_leaves_the_momentum_and_a_faint_one_counts_in_full():
    g = torch.zeros(3, 1, 2, 2)
    g[1, 0, 0, 0], g[2] = 1e-30, 5.0
    found = evened(g)
    assert torch.equal(found[0], torch.zeros(1, 2, 2))
    assert found[1, 0, 0, 0].item() == pytest.approx(4.0)
    assert torch.equal(found[2], torch.ones(1, 2, 2))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_mim_walks_on_where_the_gradient_is_gone(norm):
    class Step(nn.Module):
        """A slope up to the first step, then a plateau, then the other class."""

        def forward(self, x, draws=None):
            s = (x - 0.5).flatten(1).sum(1)
            score = torch.where(s < 0.05, s - 0.3, torch.where(s < 0.6, torch.full_like(s, -0.2), torch.full_like(s, 0.2)))
            return torch.stack([-score, score + 0 * s], 1)

    x = torch.full((2, 1, 2, 2), 0.5)
    label = torch.zeros(2, dtype=torch.int64)
    eps = 0.2 if norm == "linf" else 0.4
    moving = attacked("mim", Step(), x, label, str(eps), options={"norm": norm, "decay": 1.0})
    resting = attacked("mim", Step(), x, label, str(eps), options={"norm": norm, "decay": 0.0})
    assert np.isfinite(moving["images"]).all()
    assert moving["success"].all()
    assert not resting["success"].any(), "without momentum it stays on the plateau"


class Linear(nn.Module):
    """Logits W x."""

    def __init__(self, classes: int = 4, size: int = 48) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(classes, size, generator=torch.Generator().manual_seed(4)))

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        return (x - 0.5).flatten(1) @ self.w.T


def test_dgsm_is_exact_on_a_linear_model():
    """S1-A2: after enough steps d = -eps sign(W_true - W_desired), before the clip to [0, 1]."""
    model, x = Linear().requires_grad_(False), pictures(30)
    label = model(x).argmax(1)
    made = attacked("dgsm", model, x, label, "0.05", target="other", early_stop=False)
    target = torch.from_numpy(made["target"])
    source = label.repeat_interleave(3)
    wanted = x.repeat_interleave(3, 0) - 0.05 * (model.w[source] - model.w[target]).sign().view(-1, 3, 4, 4)
    torch.testing.assert_close(torch.from_numpy(made["images"]), wanted.clamp(0, 1), atol=1e-7, rtol=0)
    assert (made["gradients"].reshape(30, 3)[:, 0] == 120).all()


def test_dgsm_without_the_clip_is_exact_beyond_black_and_white():
    """S1-A2: with `--no-clip`, d = -eps sign(W_true - W_desired) in every pixel, also in those that are black or white."""
    model, x = Linear().requires_grad_(False), pictures(10)
    label = model(x).argmax(1)
    made = attacked("dgsm", model, x, label, "0.05", target="next", early_stop=False, clip=False)
    move = 0.05 * (model.w[label] - model.w[(label + 1) % 4]).sign().view(-1, 3, 4, 4)
    torch.testing.assert_close(torch.from_numpy(made["images"]), x - move, atol=1e-7, rtol=0)
    assert made["images"].min() < 0 < 1 < made["images"].max()


def test_dgsm_climbs_the_difference_of_two_cross_entropies():
    """J(y_desired) - J(y_true) = z_true - z_desired, and dgsm goes where that falls."""
    model, x = Curved().requires_grad_(False), pictures(6)
    label = model(x).argmax(1)
    target = (label + 2) % 5
    z = model(x)
    difference = nn.functional.cross_entropy(z, target, reduction="none") - nn.functional.cross_entropy(
        z, label, reduction="none"
    )
    gap = z.gather(1, label[:, None]) - z.gather(1, target[:, None])
    torch.testing.assert_close(difference, gap[:, 0], atol=1e-5, rtol=0)
    for k in range(len(x)):
        point, wanted = x[k], [x[k]]
        for _ in range(9):
            down = [slope(model, point, int(one[k]), plain_xent)[0] for one in (target, label)]
            point = inside(point - 0.02 * (down[0] - down[1]).sign(), x[k], 0.1, "linf")
            wanted.append(point)
        model.asked.clear()
        goal = Goal(target[k : k + 1], True, label[k : k + 1])
        victim = Victim(model, Tally(1), torch.zeros(1, dtype=torch.int64), None)
        draws = SampleRNG(0, torch.zeros(1, dtype=torch.int64))
        budget = torch.tensor([0.1])
        dgsm(victim, x[k : k + 1], goal, budget, rng=draws, early_stop=False, steps=9, step_size="eps/5")
        torch.testing.assert_close(torch.cat(model.asked), torch.stack(wanted), atol=1e-6, rtol=0)


def test_dgsm_moves_nothing_where_the_wanted_class_is_the_true_one():
    model, x = Curved().requires_grad_(False), pictures(20)
    label = model(x).argmax(1)
    made = attacked("dgsm", model, x, label, "0.1", target=str(int(label[0])))
    same = (label == label[0]).numpy()
    assert (made["images"][same] == x.numpy()[same]).all()
    assert (made["gradients"][same] == 0).all()
    assert (made["gradients"][~same] > 0).all()
    victim = Victim(model, Tally(20), torch.arange(20), None)
    found = dgsm(victim, x, Goal(label, True, label), torch.full((20,), 0.1), rng=SampleRNG(0, label), early_stop=False)
    assert torch.equal(found, x)
