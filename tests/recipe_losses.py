"""The loss of a recipe on six pictures near the plane of a half-space, and the command of a quick training."""

import numpy as np
import torch
from scipy.special import log_softmax

from advcli.catalog import discovery
from advcli.numerics.rng import SampleRNG

DRAWS = SampleRNG(0, torch.arange(6), ("training", "0"))
LABEL = torch.tensor([0, 1, 0, 1, 1, 0])
QUICK = ["train", "--arch", "mlp", "--hidden", "16", "--limit", "200", "--epochs", "4"]


def loss_of(name, model, x, label, **given):
    spec = discovery.spec("recipe", name)
    options = {key: value for key, value in given.items() if key not in discovery.INJECTED}
    asked = {"rng": DRAWS, "epoch": 0.0, "carried": {}, **given}
    return spec.bind(options)(model, x, label, **{key: asked[key] for key in spec.given})


def entropy(score, label):
    """Cross-entropy of the half-space's logits -s, s, in NumPy."""
    return -log_softmax(np.stack([-score, score], 1), 1)[np.arange(len(label)), label]


def score_of(model, x):
    return ((x.double().flatten(1) - 0.5) @ model.w.detach().double()).numpy()
