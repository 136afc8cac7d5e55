"""No point of a ball has a smaller margin than the bound says: every kind of network, norm and method."""

import pytest

from advcli.bounds.certify import certify
from advcli.bounds.reading import read
from bounds_networks import KINDS, classifier, images, inside, margin

EPS = {"linf": (0.003, 0.03, 0.2), "l2": (0.02, 0.3), "l1": (0.05, 1.0)}


@pytest.mark.parametrize("norm", EPS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_point_of_a_ball_has_a_smaller_margin_than_its_bound(kind, norm):
    for seed in range(3):
        model, x = classifier(kind, seed), images(6, seed)
        graph, labels = read(model), model(x).argmax(1)
        for eps in EPS[norm]:
            bound = certify(graph, x, labels, eps, norm)
            points = inside(x, eps, norm, 60, seed)
            found = margin(model, points.flatten(0, 1), labels.repeat(60)).view(60, -1).amin(0)
            assert (bound <= found).all()


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_budget_the_bound_is_the_margin(kind):
    model, x = classifier(kind), images(6)
    labels = model(x).argmax(1)
    bound, true = certify(read(model), x, labels, 0.0, "linf"), margin(model, x, labels)
    assert (bound <= true).all()
    size = model(x).abs().amax(1)
    assert (true - bound <= 1e-2 * size).all()
    assert (bound > 0).float().mean() > 0.5


def test_images_that_the_model_has_wrong_are_not_proved():
    model, x = classifier("mlp"), images(9)
    wrong = (model(x).argmax(1) + 1) % 4
    assert (certify(read(model), x, wrong, 0.0, "linf") < 0).all()
