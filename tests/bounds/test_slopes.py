"""Optimized slopes: never below CROWN, and the exact minimum where one mixture of lines gives it."""

import pytest
import torch
from torch import nn

from advcli.bounds import activations
from advcli.bounds.reading import read
from advcli.networks.classifier import Classifier
from bounds_networks import certify, classifier, images, inside, margin


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("kind", ["mlp", "clipped", "pooled", "branches"])
def test_optimized_bounds_are_sound_and_never_below_those_they_start_from(kind, norm):
    model, x = classifier(kind, 1), images(8, 1)
    labels, eps = model(x).argmax(1), {"linf": 0.05, "l2": 0.4, "l1": 2.0}[norm]
    graph = read(model)
    crown, few, more = (certify(graph, x, labels, eps, norm, *how) for how in (("crown",), ("optimized", 3), ("optimized", 12)))
    assert (crown <= few).all()
    assert (few <= more).all()
    left = crown <= 0
    assert left.any()
    assert (more > crown)[left].double().mean() > (0.1 if kind == "branches" else 0.5)
    lowest = margin(model, inside(x, eps, norm, 100).flatten(0, 1), labels.repeat(100)).view(100, -1).amin(0)
    assert (more <= lowest).all()


def one_neuron(weight, bias, direct):
    """Two classes that are apart by relu(weight x + bias) + direct x + 0.1, for images of one pixel."""
    first, rest = nn.Linear(1, 3), nn.Linear(3, 2)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[weight], [1.0], [0.0]]))
        first.bias.copy_(torch.tensor([bias, 0.0, 0.0]))
        rest.weight.copy_(torch.tensor([[1.0, direct, 0.0], [0.0, 0.0, 0.0]]))
        rest.bias.copy_(torch.tensor([0.1, 0.0]))
    network = nn.Sequential(nn.Flatten(), first, nn.ReLU(), rest)
    return Classifier(network, [0.0], [1.0], shape=(1, 1, 1), classes=2).eval().requires_grad_(False)


@pytest.mark.parametrize("direct", [-0.2, -0.3, -0.5])  # pixel 0.1 to 0.8: the neuron is x - 0.3
def test_where_the_choice_by_area_is_not_the_best_the_slopes_find_the_best_line(direct):
    """relu(x - 0.3) + direct x + 0.1 on [0.1, 0.8]: min over slopes s of s (x - 0.3) + direct x + 0.1, at an end."""
    model, x, label = one_neuron(1.0, -0.3, direct), torch.full((1, 1, 1, 1), 0.45), torch.zeros(1, dtype=torch.int64)
    graph, grid = read(model), torch.linspace(0.1, 0.8, 71).double()
    lines = torch.linspace(0, 1, 101).double()[:, None] * (grid - 0.3) + direct * grid + 0.1
    best = float(lines.amin(1).amax())
    assert float(certify(graph, x, label, 0.35, "linf", "crown")) <= best - 0.01
    found = float(certify(graph, x, label, 0.35, "linf", "optimized", 60))
    assert found > 0 if best > 0 else found == pytest.approx(best, abs=2e-3)  # what is proved may stop
    assert found <= float((torch.relu(grid - 0.3) + direct * grid + 0.1).amin())


@pytest.mark.parametrize("curve", [activations.sigmoid(), activations.tanh()], ids=["sigmoid", "tanh"])
def test_the_lines_of_a_curve_hold_on_every_interval_also_where_it_ends_at_the_bend(curve):
    ends = torch.tensor([-6.0, -2.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 2.0, 6.0], dtype=torch.float64)
    pairs = torch.combinations(ends)
    low, high = pairs[:, 0], pairs[:, 1]
    below, above = (choice.first for choice in curve.lines(low, high))
    x = low + (high - low) * torch.linspace(0, 1, 201, dtype=torch.float64)[:, None]
    true = curve.forward(x)
    assert (below.slope * x + below.offset <= true + 1e-12).all()
    assert (above.slope * x + above.offset >= true - 1e-12).all()
    touched = [(line.slope * x + line.offset - true).abs().amin(0) for line in (below, above)]
    assert (torch.stack(touched) < 1e-9).all(), "a line that touches nowhere could be closer"
