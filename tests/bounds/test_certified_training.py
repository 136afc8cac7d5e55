"""A network trained to be certified: the share that is proved and the share that no attack breaks are a few points apart."""

import torch
from torch import nn

from advcli.bounds.certify import certify
from advcli.bounds.reading import read
from advcli.datasets.digits import digits
from advcli.networks.classifier import Classifier
from conftest import attacked

EPS, STEPS = 0.06, 500


def trained(x, y):
    """A network whose loss was the cross-entropy of the worst logits by interval arithmetic (arXiv:1810.12715)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, last = nn.Linear(64, 96), nn.Linear(96, 10)
    optimizer = torch.optim.Adam([*first.parameters(), *last.parameters()], 0.01)
    for step in range(STEPS):
        eps = 1.1 * EPS * min(1.0, step / 200)
        low, high = (x - eps).clamp(0, 1).flatten(1), (x + eps).clamp(0, 1).flatten(1)
        middle, radius = first((low + high) / 2), (high - low) / 2 @ first.weight.abs().T
        low, high = (middle - radius).relu(), (middle + radius).relu()
        apart, shift = last.weight - last.weight[y][:, None], last.bias - last.bias[y][:, None]
        worst = ((low + high) / 2)[:, None] * apart + ((high - low) / 2)[:, None] * apart.abs()
        loss = nn.functional.cross_entropy(worst.sum(2) + shift, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network = nn.Sequential(nn.Flatten(), first, nn.ReLU(), last)
    return Classifier(network, [0.0], [1.0], shape=(1, 8, 8), classes=10).eval().requires_grad_(False)


def test_what_is_proved_and_what_no_attack_breaks_are_close():
    train, test = digits("train"), digits("test")
    model = trained(train.pixels, torch.from_numpy(train.labels))
    x, labels = test.pixels[:200], torch.from_numpy(test.labels[:200])
    right = (model(x).argmax(1) == labels).numpy()
    proved = (certify(read(model), x, labels, EPS, "linf", "crown") > 0).numpy()
    rows = attacked("apgd", model, x, labels, str(EPS), options={"objective": "margin", "steps": 50}, restarts=2)
    standing = right & (rows["success"] == 0)
    assert right.mean() > 0.85
    assert not (proved & ~standing).any()
    by_intervals = (certify(read(model), x, labels, EPS, "linf", "interval") > 0).numpy()
    assert 0.6 < proved.mean() <= standing.mean() <= proved.mean() + 0.05
    assert not (by_intervals & ~proved).any()
    assert by_intervals.mean() > 0.5, "it was trained for intervals"
