"""CROWN against independent computations: exact minima, whole rows for windows, and the order of the methods."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize

from advcli.bounds import refine
from advcli.bounds.certify import METHODS
from advcli.bounds.crown import Backward
from advcli.bounds.interval import intervals
from advcli.bounds.reading import read
from advcli.bounds.region import Ball, ball
from advcli.bounds.rows import Field, Rows
from bounds_networks import KINDS, certify, classifier, images


def exact_minimum(row, center, radius, norm):
    """The lowest value of a linear function on a ball cut off at black and white, by SciPy."""
    low, high = -center, 1 - center
    if norm == "linf":
        return float(np.where(row > 0, row * np.maximum(low, -radius), row * np.minimum(high, radius)).sum())
    if norm == "l1":  # d = p - q, p and q at least 0, sum(p + q) <= radius
        sides = [(0, max(0.0, float(one))) for one in high] + [(0, max(0.0, float(-one))) for one in low]
        return float(linprog(np.concatenate([row, -row]), A_ub=np.ones((1, 2 * len(row))), b_ub=[radius], bounds=sides).fun)
    inside = {"type": "ineq", "fun": lambda d: radius**2 - (d**2).sum(), "jac": lambda d: -2 * d}
    sides = list(zip(low, high, strict=True))
    options = {"maxiter": 500, "ftol": 1e-12}
    return float(minimize(row.dot, np.zeros(len(row)), jac=lambda d: row, bounds=sides, constraints=inside, options=options).fun)


@pytest.mark.parametrize(
    ("norm", "radius"), [("linf", 0.3), ("l2", 0.4), ("l2", 1.5), ("l2", 9.0), ("l1", 0.3), ("l1", 3.0), ("l1", 99)]
)
def test_the_lowest_value_of_a_linear_function_is_exact(norm, radius):
    draws = np.random.default_rng(3)
    center = np.clip(draws.uniform(-0.4, 1.4, (5, 12)), 0, 1)
    weight = draws.normal(size=(5, 12)) * (draws.uniform(size=(5, 12)) < 0.8)
    region = ball(torch.from_numpy(center).view(5, 3, 2, 2), radius, norm)
    rows = Rows(torch.arange(5), torch.from_numpy(weight).view(5, 3, 2, 2))
    found = Ball(region).lowest(rows).numpy()
    true = [exact_minimum(w, c, region.radius, norm) + w @ c for w, c in zip(weight, center, strict=True)]
    np.testing.assert_allclose(found, true, atol=1e-6)
    assert (Ball(region).lowest(rows, exact=False).numpy() <= found + 1e-9).all()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_on_a_linear_network_the_bound_is_the_exact_margin(norm):
    model, x = classifier("linear"), images(6)
    labels, eps = model(x).argmax(1), {"linf": 0.05, "l2": 0.3, "l1": 1.0}[norm]
    found = certify(read(model), x, labels, eps, norm)
    with torch.no_grad():
        std = model.std.expand(2, 6, 6).flatten().double()
        weight = model.network[1].weight.double() / std
        clean = model(x).double()
    for k in range(6):
        center = x[k].flatten().double().numpy()
        leads = []
        for other in set(range(4)) - {int(labels[k])}:
            row = (weight[labels[k]] - weight[other]).numpy()
            leads.append(float(clean[k, labels[k]] - clean[k, other]) + exact_minimum(row, center, eps, norm))
        assert float(found[k]) == pytest.approx(min(leads), abs=5e-4)
        assert float(found[k]) <= min(leads) + 1e-6


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_window_says_what_the_whole_row_says(kind, norm):
    """Bounds of hidden values by windows and by rows of all coefficients are the same to float64's rounding."""
    graph, region = read(classifier(kind)), ball(images(3), 0.03, norm)
    back = Backward(graph, intervals(graph, *region.box()), region)
    for number, node in enumerate(graph.nodes):
        if len(node.shape) != 3 or not number:
            continue
        places = torch.ones(3, *node.shape).nonzero()[::7]
        unit = torch.zeros(len(places), node.shape[0], 1, 1, dtype=torch.float64).scatter_(1, places[:, 1].view(-1, 1, 1, 1), 1.0)
        window = Rows(places[:, 0], unit, places[:, 2:])
        whole = window.whole(node.shape)
        assert torch.equal(
            whole.weight.flatten(1).argmax(1), (places[:, 1] * node.shape[1] + places[:, 2]) * node.shape[2] + places[:, 3]
        )
        one, two = back.lowest(window, number), back.lowest(whole, number)
        slack = 1e-3 * (1 + two.abs())  # of a window the largest slack of each channel is taken
        assert ((one - two).abs() <= slack).all()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("kind", KINDS)
def test_crown_is_never_below_intervals_and_mostly_above(kind, norm):
    model, x = classifier(kind), images(16)
    labels, eps = model(x).argmax(1), {"linf": 0.03, "l2": 0.3, "l1": 1.0}[norm]
    graph = read(model)
    plain, crown = (certify(graph, x, labels, eps, norm, method) for method in ("interval", "crown"))
    assert (crown >= plain).all()
    left = plain <= 0  # who is proved by intervals keeps their bound
    if kind not in ("linear", "residual", "branches"):
        assert left.any()
        assert (crown > plain)[left].double().mean() > 0.5


def test_a_tighter_budget_has_a_higher_bound():
    model, x = classifier("conv"), images(12)
    labels, graph = model(x).argmax(1), read(model)
    found = [
        torch.stack([certify(graph, x, labels, eps, "linf", method) for eps in (0.0, 0.01, 0.03, 0.1)]) for method in METHODS[:2]
    ]
    assert (found[0][:-1] > found[0][1:]).all()
    proved = (found[1] > 0).sum(1).tolist()
    assert proved == sorted(proved, reverse=True)
    assert proved[0] > proved[-1]


def test_no_more_coefficients_are_held_than_the_limit(monkeypatch):
    seen = []
    step = Backward.step

    def counted(self, rows, number, *more):
        seen.append(rows.weight.numel())
        return step(self, rows, number, *more)

    monkeypatch.setattr(Backward, "step", counted)
    monkeypatch.setattr(refine, "ELEMENTS", 4096)
    model, x = classifier("conv"), images(20)
    small = certify(read(model), x, model(x).argmax(1), 0.05, "linf")
    assert max(seen) <= 4096
    monkeypatch.setattr(refine, "ELEMENTS", 2**20)
    assert torch.allclose(small, certify(read(model), x, model(x).argmax(1), 0.05, "linf"), atol=1e-9)
    assert max(seen) > 4096


def test_only_the_widest_neurons_of_an_image_are_computed_where_there_are_too_many(monkeypatch):
    model, x = classifier("conv"), images(6)
    graph, labels = read(model), model(x).argmax(1)
    full = certify(graph, x, labels, 0.05, "linf")
    widths, widest = [], refine._widest

    def noted(wanted, width, most):
        widths.append(width)
        return widest(wanted, width, most)

    monkeypatch.setattr(refine, "MOST", 1)
    monkeypatch.setattr(refine, "_widest", noted)
    least = certify(graph, x, labels, 0.05, "linf")
    assert widths
    assert all((width >= 0).all() for width in widths), "a width is the length of an interval"
    assert (least >= certify(graph, x, labels, 0.05, "linf", "interval")).all()
    assert (least <= full + 1e-9).all()
    assert (least < full).any()


def test_a_field_is_zero_around_the_picture():
    field = Field(torch.arange(1.0, 19).view(1, 2, 3, 3).double())
    corner = torch.tensor([[-1, 1], [2, 2], [-2, -2], [-9, 1], [1, 7]])
    found = field.windows(torch.zeros(5, dtype=torch.int64), corner, (2, 2))
    assert found[:, 0].flatten(1).tolist() == [[0, 0, 2, 3], [9, 0, 0, 0], *[[0, 0, 0, 0]] * 3]
    assert found[:, 1].flatten(1).tolist() == [[0, 0, 11, 12], [18, 0, 0, 0], *[[0, 0, 0, 0]] * 3]


def test_where_too_many_neurons_are_open_the_widest_are_tightened(monkeypatch):
    model, x = classifier("mlp"), images(6)
    graph, labels = read(model), model(x).argmax(1)
    whole = certify(graph, x, labels, 0.05, "linf")
    tightened = []
    widest = refine._widest

    def noted(wanted, width, most):
        found = widest(wanted, width, most)
        tightened.append((int(wanted.flatten(1).sum(1).max()), int(found.flatten(1).sum(1).max()), most))
        return found

    monkeypatch.setattr(refine, "_widest", noted)
    monkeypatch.setattr(refine, "MOST", 2 * 72 * 5)
    few = certify(graph, x, labels, 0.05, "linf")
    assert any(found == most < wanted for wanted, found, most in tightened), "nothing was left out"
    assert (few <= whole + 1e-9).all()
    assert torch.isfinite(few).all()
