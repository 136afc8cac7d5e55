"""The parts of a model that attacks of its kind can read: the leaves of trees, stored images, or the planes of a linear model."""

import torch

from advcli.images.dataset import Dataset
from advcli.networks.model_file import ModelFile
from advcli.networks.structure import OFFERS, is_affine, structure_of
from advcli.numerics.rng import Purpose, SampleRNG

SOME, SURELY = 8, 1e-4  # images on which a model is seen to be linear, and the largest difference as a share of a logit


def structure_in(model: ModelFile, images: Dataset) -> str:
    """What the model offers; nothing behind defenses, and nothing of a function or an address, which would be asked."""
    if model.answers is not None or model.metadata["defenses"]:
        return ""
    module = model.module()
    if (parts := structure_of(module)) is not None:
        return next(name for name, kind in OFFERS.items() if isinstance(parts, kind))
    x, _ = images.batch(0, SOME)
    noise = SampleRNG(0, torch.arange(len(x)), (Purpose.CHECK, "planes")).uniform(*x.shape[1:])
    with torch.no_grad():
        return "planes" if is_affine(lambda points: module(points, None), x, noise, SURELY) else ""
