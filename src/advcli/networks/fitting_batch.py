"""The batch for fitting a defense that learns, and a new network for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from advcli.catalog import discovery
from advcli.networks.architecture import network
from advcli.networks.classifier import Classifier
from advcli.numerics.rng import SampleRNG


@dataclass(frozen=True, slots=True)
class FittingBatch:
    """One batch for fitting a defense: images, labels, random draws, and attacks that can be run on any model."""

    x: Tensor
    label: Tensor
    rng: SampleRNG
    attacks: Sequence[Callable[[nn.Module, Tensor, Tensor, SampleRNG], Tensor]]

    def against(self, model: nn.Module) -> list[Tensor]:
        """The batch attacked by every attack."""
        return [one(model, self.x, self.label, self.rng.fork("against", k)) for k, one in enumerate(self.attacks)]


def new_network(text: str, shape: tuple[int, ...], classes: int) -> Classifier:
    """A new network of a listed architecture, spelled as in cnn:width=16."""
    spec, typed = discovery.parse_method("architecture", text)
    made = network(spec.bind(typed), shape, classes)
    return Classifier(made, [0.0] * shape[0], [1.0] * shape[0], shape=shape, classes=classes)
