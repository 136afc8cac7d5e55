"""Modules as models that figures may ask: without a file, without training."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from advcli.catalog import discovery
from advcli.catalog.requests import EvaluateRequest
from advcli.evaluation.judge import Judge
from advcli.networks.module_in_memory import DefendedModule, model_of


def judge_of(module: nn.Module, shape: Sequence[int], classes: Sequence[str], *defenses: tuple[str, dict]) -> Judge:
    """A module behind defenses, (name, options) each, the first one next to it."""
    stack = []
    for name, options in defenses:
        bound = discovery.spec("defense", name).bind(options)
        stack.append({"name": name, "parameters": dict(bound.parameters)})
    plain = {"mean": [0.0] * shape[0], "std": [1.0] * shape[0]}
    return Judge(model_of(DefendedModule("given", module.eval(), tuple(stack), {}), shape, classes, plain), EvaluateRequest())


def affine(shape: Sequence[int], classes: Sequence[str]) -> tuple[Judge, np.ndarray, np.ndarray]:
    """One layer, and its weights and biases."""
    layer = nn.Linear(int(np.prod(shape)), len(classes))
    with torch.no_grad():
        for k, one in enumerate(layer.parameters()):
            one.copy_(torch.randn(one.shape, generator=torch.Generator().manual_seed(k)) / 2)
    judge = judge_of(nn.Sequential(nn.Flatten(), layer), shape, classes)
    return judge, layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
