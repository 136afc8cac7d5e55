"""Distillation: a student learns the teacher's class probabilities at a temperature, and is used at temperature 1.

J = -sum_k softmax(t(x) / T)_k log softmax(s(x) / T)_k. Papernot et al. 2016 train the teacher at T too (`train
--temperature T`): only then is the student's softmax so saturated that its gradients vanish in float32, which defeats
attacks on the cross-entropy but not attacks on the logits (arXiv:1608.04644). The teacher gets the same images as the
student, in evaluation mode.
"""

import torch
from torch import Tensor, nn

from advcli.catalog.options import Temperature
from advcli.catalog.registry import recipe
from advcli.numerics.rng import SampleRNG


@recipe(family="distillation", paper="arXiv:1511.04508")
def distill(
    model: nn.Module, x: Tensor, label: Tensor, *, rng: SampleRNG, teacher: nn.Module, temperature: Temperature = 20.0
) -> Tensor:
    with torch.no_grad():
        soft = (teacher(x, rng.fork("teacher")) / temperature).softmax(1)
    return nn.functional.cross_entropy(model(x, rng) / temperature, soft, reduction="none")
