"""Attacks that come as close as they can: their geometry against SciPy, and what each of them promises of its own."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize
from torch import Tensor, nn

from advcli.attacks import cw
from advcli.numerics.balls import distance, room_to
from advcli.numerics.planes import FAR, to_plane
from advcli.numerics.rng import SampleRNG
from conftest import Halfspace, attacked, near_the_plane
from small_networks import Affine, Scaled, Small, pictures


def far(made, norm="l2") -> Tensor:
    return distance(torch.from_numpy(made["images"]), torch.from_numpy(made["originals"]), norm)


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_the_shortest_step_to_a_plane_is_that_of_scipy(norm):
    draw = np.random.default_rng(0)
    for size in (2, 6):
        for _ in range(20):
            slope, x = draw.normal(size=size), draw.random(size).round(draw.integers(0, 3))
            room = np.where(slope > 0, 1 - x, x)
            gain = draw.uniform(0.05, 0.95) * (np.abs(slope) * room).sum() + 1e-6
            step, length = to_plane(
                *(torch.tensor(part[None], dtype=torch.float32) for part in (slope, np.array(gain), room)), norm
            )
            assert (x + step[0].numpy() >= -1e-6).all()
            assert (x + step[0].numpy() <= 1 + 1e-6).all()
            if (np.abs(slope) * room).sum() < 1e-3:
                continue
            assert step[0].numpy() @ slope == pytest.approx(gain, rel=1e-4)
            assert float(length) == pytest.approx(_shortest(slope, x, gain, norm), rel=1e-3)


def _shortest(slope, x, gain, norm):
    box = list(zip(-x, 1 - x, strict=True))
    if norm == "l1":
        return linprog(
            np.ones(len(x)), -np.abs(slope)[None], [-gain], bounds=[(0, one) for one in np.where(slope > 0, 1 - x, x)]
        ).fun
    if norm == "linf":
        eye, one = np.eye(len(x)), np.ones((len(x), 1))
        rows = np.vstack([np.r_[-slope, 0], np.hstack([eye, -one]), np.hstack([-eye, -one])])
        return linprog(np.r_[0 * x, 1], rows, np.r_[-gain, np.zeros(2 * len(x))], bounds=[*box, (0, None)]).fun
    start = np.where(slope > 0, 1 - x, -x)
    found = minimize(
        lambda d: d @ d,
        start,
        jac=lambda d: 2 * d,
        bounds=box,
        constraints={"type": "ineq", "fun": lambda d: slope @ d - gain, "jac": lambda d: slope},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert found.success
    return found.fun**0.5


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_a_plane_beyond_black_and_white_is_far(norm):
    slope, x = torch.tensor([[1.0, -2.0], [0.0, 0.0]]), torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    step, length = to_plane(slope, torch.tensor([3.0, 1.0]), room_to(slope, x), norm)
    assert step.tolist() == [[0.5, -0.5], [0, 0]]
    assert length[0] == 2 * FAR
    assert length[1] == torch.inf


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("overshoot", [0.005, 0.02, 0.3])
def test_the_overshoot_is_a_share_of_the_whole_perturbation(norm, overshoot, halfspace):
    x = near_the_plane()
    settings = {"norm": norm, "overshoot": overshoot, "refinements": 0}
    made = attacked("deepfool", halfspace, x, halfspace(x).argmax(1), options=settings)
    assert made["success"].all()
    assert (made["gradients"] == 2).all(), "one step to the plane, one look at the other side"
    ratio = far(made, norm) / halfspace.distance(x, norm)
    torch.testing.assert_close(ratio, torch.full_like(ratio, 1 + overshoot), rtol=1e-3, atol=0)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_refinements_bring_deepfool_closer_and_full_strength_closer_still(norm):
    model, x = Small((1, 8, 8), 5), pictures((1, 8, 8), 60)
    label = model(x).argmax(1)
    settings = [{"refinements": 0}, {"refinements": 6}, {"refinements": 6}]
    found = [
        far(attacked("deepfool", model, x, label, options={"norm": norm, **one}, early_stop=k < 2), norm)
        for k, one in enumerate(settings)
    ]
    assert (found[1] <= found[0] + 1e-6).all()
    assert (found[2] <= found[1] + 1e-6).all()
    assert found[1].mean() < 0.99 * found[0].mean()


def test_deepfool_looks_at_as_many_classes_as_it_is_told():
    model, x = Affine((1, 4, 4), 10), pictures((1, 4, 4), 30)
    label = model(x).argmax(1)
    one, all_of_them = (attacked("deepfool", model, x, label, options={"candidates": n}) for n in (1, 10))
    assert one["success"].all()
    assert (one["gradients"] < all_of_them["gradients"]).all()
    assert (far(one) >= far(all_of_them) * 0.98).all()
    assert (far(one) > far(all_of_them) * 1.02).any(), "the class with the next largest score is not always the nearest"


@pytest.mark.parametrize("method", ["deepfool", "cw", "fab"])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_size_of_the_logits_does_not_matter(method, scale):
    model, x = Affine((1, 4, 4), 4), pictures((1, 4, 4), 20)
    label = model(x).argmax(1)
    plain, scaled = (attacked(method, one, x, label) for one in (model, Scaled(model, scale)))
    assert scaled["success"].all()
    torch.testing.assert_close(far(scaled), far(plain), rtol=0.01, atol=1e-6)


class Guarded(nn.Module):
    """A half-space whose detector wants the last pixel as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Halfspace()

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        scores = self.inner(x)
        return torch.cat([scores, scores.amax(1, keepdim=True) + 4 * ((x.flatten(1)[:, 11:] - 0.55).abs() - 0.002)], 1)


@pytest.mark.parametrize("method", ["deepfool", "cw", "fab"])
def test_a_rejection_is_no_success_and_is_evaded(method):
    model, x = Guarded(), near_the_plane(20)
    x[:, 2, 1, 1] = 0.55
    label = model(x).argmax(1)
    assert (label < 2).all()
    blind = attacked(method, model.inner, x, label)
    made = attacked(method, model, x, label, rejects=True)
    assert (model(torch.from_numpy(blind["images"])).argmax(1) == 2).any(), "who does not know of the detector runs into it"
    assert made["success"].all()
    assert (made["prediction"] == 1 - label.numpy()).all()


@pytest.mark.parametrize("confidence", [0.0, 0.2])
def test_cw_is_as_close_to_a_target_as_scipy_and_as_sure_as_it_is_asked_to_be(confidence):
    model, x = Affine((1, 1, 7), 4), pictures((1, 1, 7), 20)
    label = model(x).argmax(1)
    made = attacked("cw", model, x, label, target="next", options={"confidence": confidence})
    logits, compared = model(torch.from_numpy(made["images"])), 0
    for row, target in enumerate(made["target"]):
        wanted = _to_target(model, x[row].flatten().numpy(), int(target), confidence)
        if wanted is None:
            assert not made["success"][row]
            continue
        others = logits[row, np.arange(4) != target].max()
        assert made["success"][row]
        assert logits[row, target] - others >= confidence
        assert far(made)[row] <= 1.05 * wanted
        compared += 1
    assert compared > 5


def _to_target(model, x, target, confidence):
    """The distance to a polytope: every other class is one plane."""
    w = model.w.numpy().astype(float)
    rows = w[target] - np.delete(w, target, 0)
    least = confidence - rows @ (x - 0.5)
    inside = linprog(np.zeros(len(x)), -rows, -least, bounds=list(zip(-x, 1 - x, strict=True)))
    if not inside.success:
        return None
    found = minimize(
        lambda d: d @ d,
        inside.x,
        jac=lambda d: 2 * d,
        bounds=list(zip(-x, 1 - x, strict=True)),
        constraints={"type": "ineq", "fun": lambda d: rows @ d - least, "jac": lambda d: rows},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert found.success
    return found.fun**0.5


def test_cw_comes_closer_than_the_point_that_it_starts_from():
    model, x = Small((1, 8, 8), 5), pictures((1, 8, 8), 60)
    label = model(x).argmax(1)
    start, made = (attacked(method, model, x, label, options={"refinements": 20}) for method in ("deepfool", "cw"))
    assert made["success"].all()
    assert (far(made) <= far(start) + 1e-6).all()
    assert far(made).mean() < 0.99 * far(start).mean()


def test_the_weight_of_cws_loss_falls_by_a_twentieth_with_every_hit_and_rises_with_every_miss(monkeypatch):
    """c_t = c_0 1.05^(misses - hits); where the goal is reached the loss has no gradient, and c is not seen."""
    seen, per_sample = [], cw.per_sample

    def noted(values, x):
        seen.append(values.item())
        return per_sample(values, x)

    model, x = Small((1, 6, 6), 4), pictures((1, 6, 6), 1)
    monkeypatch.setattr(cw, "per_sample", noted)
    assert attacked("cw", model, x, model(x).argmax(1), options={"steps": 80})["success"].all()
    weights = seen[-160::2]  # of every step; the others are step sizes
    missed = [weight > 0 for weight in weights]
    assert 10 < sum(missed) < 70
    first = weights[0] or weights[1] / 1.05 ** (1 if missed[1] else -1)
    for step, weight in enumerate(weights):
        balance = sum(1 if one else -1 for one in missed[1 : step + 1])
        if weight:
            assert weight == pytest.approx(first * 1.05**balance, rel=1e-4)
