"""New decisions of a smoothed model on noisy copies: the counts behind its certificates."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from advcli.catalog.registry import Bound
from advcli.errors import InputError
from advcli.evaluation.decisions import Noise
from advcli.evaluation.sets import Subject
from advcli.images.passes import passes
from advcli.networks.certified import Certified
from advcli.networks.classifier import frozen
from advcli.networks.model_file import ModelFile
from advcli.networks.voting import MOST
from advcli.numerics.arrays import Array
from advcli.numerics.rng import Purpose
from advcli.runtime import devices
from advcli.runtime.reporter import Reporter


def check(metrics: Iterable[Bound], model: ModelFile, module: nn.Module) -> None:
    """Refuse a metric that needs smoothing for a model without it."""
    for bound in metrics:
        if "noise" in bound.spec.traits.needs and not isinstance(module, Certified):
            raise InputError(
                f"{model.path}: --metric {bound.spec.name} needs smoothing as the outermost defense\n"
                f"put it there with: advcli defend --method smoothing --model {model.path}"
            )


def noise(model: ModelFile, module: nn.Module, subject: Subject, seed: int, device: torch.device, reporter: Reporter) -> Noise:
    """Votes on noisy copies, image by image, computed on demand."""
    assert isinstance(module, Certified)  # checked before anything was judged

    def count(rows: Array, purpose: str, copies: int) -> Array:
        def pictures(start: int, stop: int) -> Tensor:
            return torch.cat([subject.pictures(row, row + 1) for row in rows[start:stop].tolist()])

        found, ids, step = [], subject.ids[rows], max(1, MOST // copies)
        with (
            devices.threads(model.shape),
            frozen(module),
            reporter.progress(f"{copies} noisy copies", len(rows), "images") as tick,
        ):
            for part in passes(pictures, ids, step, device, seed, (Purpose.CERTIFY, purpose)):
                found.append(module.votes(part.x, part.draws, copies))
                tick(len(part.x), "")
        return torch.cat(found).cpu().numpy() if found else np.zeros((0, 1), np.int64)

    return Noise(module.sigma, np.arange(subject.count), count)
