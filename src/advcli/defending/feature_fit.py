"""The fit of a detector that measures features: one pass over training images, whose statistics it keeps."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from advcli.errors import InputError
from advcli.files.header import Header
from advcli.images.dataset import Dataset
from advcli.images.passes import passes
from advcli.networks.feature_detector import FeatureDetector
from advcli.numerics.rng import Purpose
from advcli.runtime import devices
from advcli.runtime.reporter import Reporter

MOST_IMAGES = 10_000  # every class in proportion to its size; by default


@dataclass(frozen=True, slots=True)
class FeatureFit:
    """Training images, and the statistics of their features."""

    data: Dataset
    seed: int
    device: torch.device
    batch_size: int
    reporter: Reporter

    def fit(self, model: nn.Module) -> Header:
        """Compute the statistics; returns the entries of the metadata: the layers, and figures of the statistics."""
        assert isinstance(model, FeatureDetector)  # its traits say so
        features = self._features(model.to(self.device))
        tensors, figures = model.learned.fit(features, torch.from_numpy(self.data.labels), self.seed)
        if not all(bool(torch.isfinite(one).all()) for one in tensors.values()):
            raise InputError("the features of these images are not finite; nothing can be fitted to them")
        model.learned.adopt(tensors, "the fit")
        model.learned.to(self.device)
        told = [f"the input of layer {' and '.join(model.layers)}"]
        if "explained" in figures:
            told += [f"{figures['dimensions']} dimensions keep {figures['explained']:.1%} of its variance"]
            told += [f"bandwidth {figures['bandwidth']:.3g}"]
        self.reporter.note(f"features: {', '.join(told)}; fitted on {len(self.data)} images")
        return {"layers": list(model.layers), **figures}

    def _features(self, model: FeatureDetector) -> list[Tensor]:
        """(N, D) of every layer, on the CPU."""
        pieces: list[list[Tensor]] = []
        path = (Purpose.CALIBRATION, "features")
        with devices.threads(self.data.shape), torch.no_grad():
            for part in passes(self.data.pictures, self.data.index, self.batch_size, self.device, self.seed, path):
                found, _ = model.measured(part.x, partial(model.model, part.x, part.draws))
                pieces.append([one.cpu() for one in found])
        return [torch.cat(one) for one in zip(*pieces, strict=True)]
