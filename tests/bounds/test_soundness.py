"""No point of a ball has a smaller margin than the bound says: every kind of network, norm and method."""

from collections import Counter

import pytest
import torch

import fuzz_bounds
from advcli.bounds.reading import read
from bounds_networks import KINDS, SHAPE, certify, classifier, images, inside, margin

EPS = {"linf": (0.003, 0.03, 0.2), "l2": (0.02, 0.3), "l1": (0.05, 1.0)}


@pytest.mark.parametrize("norm", EPS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_point_of_a_ball_has_a_smaller_margin_than_its_bound(kind, norm):
    """By CROWN, whose bounds are the higher ones: they contain those of intervals."""
    for seed in range(2):
        model, x = classifier(kind, seed), images(6, seed)
        graph, labels = read(model), model(x).argmax(1)
        for eps in EPS[norm]:
            bound = certify(graph, x, labels, eps, norm, "crown")
            points = inside(x, eps, norm, 60, seed)
            found = margin(model, points.flatten(0, 1), labels.repeat(60)).view(60, -1).amin(0)
            assert (bound <= found).all()


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_budget_the_bound_is_the_margin(kind):
    model, x = classifier(kind), images(6)
    labels = model(x).argmax(1)
    bound, true = certify(read(model), x, labels, 0.0, "linf", "interval"), margin(model, x, labels)
    assert (bound <= true).all()
    size = model(x).abs().amax(1)
    assert (true - bound <= 1e-2 * size).all()
    assert (bound > 0).float().mean() > 0.5


def test_images_that_the_model_has_wrong_are_not_proved():
    model, x = classifier("mlp"), images(9)
    wrong = (model(x).argmax(1) + 1) % 4
    assert (certify(read(model), x, wrong, 0.0, "linf") < 0).all()


def test_no_attack_breaks_an_image_that_is_proved():
    """A few of the networks that `tests/fuzz_bounds.py` tries by the thousand."""
    total = sum((fuzz_bounds.one(seed, 6) for seed in range(0, 54, 5)), Counter())
    assert total["wrong"] == 0
    assert total["proved"] > 20
    assert total["broken"] > 5


def test_the_ball_is_the_one_in_which_a_stored_row_may_lie():
    """A row may exceed its budget by float32's tolerance; the proof holds there too."""
    model, x = classifier("linear"), torch.full((1, *SHAPE), 0.5)
    labels, logits = model(x).argmax(1), model(x)
    other = logits.topk(2).indices[:, 1]
    weight = model.network[1].weight
    slope = (weight[labels] - weight[other]).view(1, *SHAPE).double() / model.std.double()
    eps = float(margin(model, x, labels) / slope.abs().sum()) * (1 + 1e-5)
    within = x - slope.sign() * (eps + 0.9e-6)
    assert margin(model, within.float(), labels) < 0
    assert certify(read(model), x, labels, eps * (1 - 1e-5) - 0.5e-6, "linf") < 0
