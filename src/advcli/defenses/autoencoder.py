"""Removes perturbations from the image with a trained network, before the model sees it.

A(x) = clip(x + f(x)) with a small convolutional f; the loss is ||A(x) - x||^2 + ||A(x') - x||^2 over clean images x and
adversarial images x' made from them, against the model behind it (--against). With --guidance g, g times the cross-entropy
of the model's outputs on A(x) and A(x') is added (after the guided denoiser, arXiv:1712.02976).
"""

from typing import Annotated, cast

import torch
from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.networks.fitting_batch import FittingBatch
from advcli.numerics.rng import SampleRNG

functional = nn.functional


class Denoiser(nn.Module):
    """f: convolutions at full size and at half size."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.coarse = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.deep = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.last = nn.Conv2d(3 * width, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        fine = self.first(x).relu()
        half = functional.adaptive_avg_pool2d(fine, (-(-height // 2), -(-width // 2)))
        deep = self.deep(self.coarse(half).relu()).relu()
        found: Tensor = self.last(torch.cat([fine, functional.interpolate(deep, (height, width))], 1))
        return found


class Cleaned(nn.Module):
    """A model behind a denoiser."""

    def __init__(self, model: nn.Module, learned: nn.Module, guidance: float) -> None:
        super().__init__()
        self.model, self.learned, self.guidance = model, learned, guidance

    def clean(self, x: Tensor) -> Tensor:
        return cast(Tensor, (x + self.learned(x)).clamp(0, 1))

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        return cast(Tensor, self.model(self.clean(x), draws))

    def fitting_loss(self, x: Tensor, batch: FittingBatch) -> Tensor:
        """(N,) the loss to minimize: the squared distance of the denoised images from the clean image."""
        found = torch.zeros(len(x), device=x.device)
        for k, one in enumerate([x, *batch.against(self.model)]):
            cleaned = one + self.learned(one)  # not clipped: a clipped pixel would teach nothing
            loss = (cleaned - x).square().flatten(1).sum(1)
            if self.guidance:
                answer = self.model(cleaned.clamp(0, 1), batch.rng.fork("guide", k))
                loss = loss + self.guidance * functional.cross_entropy(answer, batch.label, reduction="none")
            found = found + loss / (1 if k == 0 else len(batch.attacks))
        return found


@defense(family="learned filter", gradient="exact", learns=True, paper="Wang, Kunin and Pyron")
def autoencoder(
    model: nn.Module,
    shape: tuple[int, int, int],
    classes: int,
    *,
    width: Annotated[int, Param("Channels of the first layer.", low=1, high=1024)] = 16,
    guidance: Annotated[float, Param("Weight of the model's cross-entropy, added to the distance.", low=0, high=1e6)] = 0.0,
) -> nn.Module:
    return Cleaned(model, Denoiser(shape[0], width), guidance)
