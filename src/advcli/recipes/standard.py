"""Plain training: cross-entropy on clean images."""

from typing import Annotated

from torch import Tensor, nn

from advcli.catalog.options import Temperature
from advcli.catalog.params import Param
from advcli.catalog.registry import recipe
from advcli.numerics.rng import SampleRNG


@recipe(family="plain")
def standard(
    model: nn.Module,
    x: Tensor,
    label: Tensor,
    *,
    rng: SampleRNG,
    label_smoothing: Annotated[float, Param("Share of the label that is spread over all classes.", low=0, high=1)] = 0.0,
    temperature: Temperature = 1.0,
) -> Tensor:
    logits = model(x, rng) / temperature
    return nn.functional.cross_entropy(logits, label, reduction="none", label_smoothing=label_smoothing)
