"""What a few steps break is no longer looked at, and nothing that could be proved is lost by it."""

import pytest
import torch

from advcli.bounds import certify
from advcli.bounds.counterexamples import search
from advcli.bounds.reading import read
from advcli.bounds.region import ball
from bounds_networks import KINDS, classifier, images, margin


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 1.0), ("l1", 5.0)])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_proved_is_the_same_with_the_short_attack_and_without(kind, norm, eps):
    model, x = classifier(kind), images(24)
    labels, graph = model(x).argmax(1), read(model)
    found = search(graph, ball(x, eps, norm), labels).broken
    quickly, without = (certify.certify(graph, x, labels, eps, norm, quick=quick) > 0 for quick in (True, False))
    assert (quickly == without).all()
    assert not (found & without).any()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_on_a_linear_network_exactly_those_are_broken_that_a_closed_form_breaks(norm):
    """Pixels far from black and white: the margin falls by eps |w| in the dual norm."""
    model = classifier("linear")
    x = 0.5 + (images(40) - 0.5) * 0.1
    weight = (model.network[1].weight.view(-1, *x.shape[1:]) / model.std).flatten(1)
    labels = model(x).argmax(1)
    apart = (weight[labels][:, None] - weight[None]).norm(p={"linf": 1, "l2": 2, "l1": torch.inf}[norm], dim=2)
    logits = model(x)
    gaps = logits.gather(1, labels[:, None]) - logits
    needed = (gaps / apart.clamp_min(1e-9)).masked_fill(apart == 0, torch.inf).amin(1)
    eps = float(needed.median())
    far = (needed - eps).abs() > 0.05 * eps
    found = search(read(model), ball(x, eps, norm), labels).broken
    assert (found == (needed < eps))[far].all()
    assert 0 < int(found.sum()) < len(x)


def test_an_image_that_the_model_has_wrong_is_broken_from_the_start():
    model, x = classifier("conv"), images(6)
    labels = (model(x).argmax(1) + 1) % 4
    assert search(read(model), ball(x, 0.0, "linf"), labels).broken.all()
    assert (margin(model, x, labels) <= 0).all()


def test_no_bound_is_computed_for_what_is_search(monkeypatch):
    model, x = classifier("conv"), images(16)
    labels, graph = model(x).argmax(1), read(model)
    assert search(graph, ball(x, 0.3, "linf"), labels).broken.all()
    seen = []
    monkeypatch.setattr(
        certify, "refined", lambda graph, region: seen.append(len(region.center)) or certify.intervals(graph, *region.box())
    )
    certify.certify(graph, x, labels, 0.3, "linf")
    assert sum(seen) == 0
