"""Detectors that compare the features of an image with statistics of the features of training images.

The statistics are computed once, are stored in the model file as tensors, and do not change: the score of an image depends
on nothing but the image. It is differentiable, so that attacks go through it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from advcli.errors import InputError
from advcli.files.header import Header
from advcli.networks.classifier import classifier_of
from advcli.networks.features import last_layers, rows_of, watched
from advcli.networks.rejection import Rejecting, split
from advcli.numerics.rng import SampleRNG

MOST_NUMBERS = 1 << 26  # of one stored tensor: 256 MiB
Tensors = dict[str, Tensor]


class Statistics(nn.Module):
    """What a detector keeps of the training images: float32 tensors by name, each with a number of dimensions."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes, self.layers = classes, 1  # the detector states how many layers it measures

    @property
    def kinds(self) -> dict[str, int]:
        """The names of the tensors, and the number of dimensions of each."""
        raise NotImplementedError

    def fit(self, features: Sequence[Tensor], label: Tensor, seed: int) -> tuple[Tensors, Header]:
        """The tensors, from the features of every layer, (N, D) each; and figures for the metadata."""
        raise NotImplementedError

    def suits(self, tensors: Mapping[str, Tensor]) -> bool:
        """True if the sizes of the tensors agree with each other."""
        raise NotImplementedError

    def score(self, features: Sequence[Tensor], label: Tensor) -> Tensor:
        """(N,) how unlike those of training images the features of images of these classes are."""
        raise NotImplementedError

    @property
    def widths(self) -> list[int]:
        """The number of features of every layer."""
        raise NotImplementedError

    @property
    def fitted(self) -> bool:
        return hasattr(self, next(iter(self.kinds)))

    def adopt(self, tensors: Mapping[str, Tensor], where: str) -> None:
        """Take tensors from a fit or from a file, whose names, types and sizes are checked first."""
        found = {name: (tensor.dtype, tensor.ndim) for name, tensor in tensors.items()}
        wanted = {name: (torch.float32, ndim) for name, ndim in self.kinds.items()}
        if found != wanted or not all(0 < one.numel() <= MOST_NUMBERS for one in tensors.values()) or not self.suits(tensors):
            raise InputError(f"{where}: the statistics do not fit the detector; expected {', '.join(self.kinds)}")
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor.clone())


class FeatureDetector(Rejecting):
    """A model, and statistics of the features of its last layers."""

    def __init__(self, model: nn.Module, learned: Statistics, layers: int = 1) -> None:
        super().__init__(model)
        self.learned, self.count, self.layers = learned, layers, list[str]()

    def adopt(self, found: dict[str, Any]) -> None:
        names = found.get("layers", [])
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names) or len(names) > self.count:
            raise InputError("its detector names no valid layers")
        self.layers, self.learned.layers = names, len(names)
        super().adopt(found)

    def found_layers(self, x: Tensor) -> list[str]:
        """The names of the layers, found by a trial run before the fit."""
        if not self.layers:
            self.layers = last_layers(classifier_of(self.model), x, self.count)
            self.learned.layers = len(self.layers)
        return self.layers

    def measured(self, x: Tensor, run: Callable[[], Tensor]) -> tuple[list[Tensor], Tensor]:
        """The features of the images in one run of a model, and its logits."""
        names = self.found_layers(x)
        with watched(classifier_of(self.model), names) as seen:
            logits = run()
        return [rows_of(seen.get(name), name, len(x)) for name in names], logits

    def score(self, x: Tensor, draws: SampleRNG | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        features, logits = self.measured(x, lambda: self.model(x, draws))
        scores, beyond = split(logits, self.inner)
        return self.strangeness(features, scores.argmax(1)), scores, beyond

    def strangeness(self, features: Sequence[Tensor], label: Tensor) -> Tensor:
        """(N,) the score of features of images that are taken for these classes; 0 before the fit."""
        if not self.learned.fitted:
            return 0 * features[0].sum(1)
        if [one.shape[1] for one in features] != self.learned.widths:
            raise InputError("the detector was fitted on features of another size; fit it again: advcli defend")
        with torch.autocast(features[0].device.type, enabled=False):
            return self.learned.score(features, label)


def fewest(label: Tensor, classes: int, least: int, name: str) -> None:
    """Refuse a fit with too few images of a class: every image that is taken for that class would be rejected."""
    counts = torch.bincount(label, minlength=classes)
    if (few := int(counts.min())) < least:
        raise InputError(
            f"{name}: class number {int(counts.argmin())} has {few} images to fit on; it needs {least}; use more with --limit"
        )
