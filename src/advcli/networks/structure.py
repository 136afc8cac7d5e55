"""The parts of a model that has no gradient, for attacks that read them: leaves of trees, or stored images.

A network that offers parts has a method `structure`. Bounds and images are in pixels, whatever normalisation lies between.
A defense hides the parts of the model behind it: an attack that read them would attack another model.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from advcli.networks.classifier import Classifier

TINY = 1e-12
ROUNDING = 1e-6  # of a bound that is converted to pixels: on which side of it a pixel is, float32 does not tell


@dataclass(frozen=True, slots=True)
class Leaves:
    """The leaves of one tree or many. An image is in a leaf if low < x[feature] <= high for all `used` features of its path.

    A path that is shorter than the longest is filled up with copies of its first feature, which are not `used`.
    """

    feature: Tensor  # (L, P)
    low: Tensor  # (L, P)
    high: Tensor  # (L, P)
    used: Tensor  # (L, P)
    share: Tensor  # (L, K) of the classes; the mean over all trees decides
    logits: Tensor  # (L, K) of a model of this one tree
    tree: Tensor  # (L,) the number of the leaf's tree

    def in_pixels(self, mean: Tensor, std: Tensor) -> "Leaves":
        """The same leaves for images before (x - mean) / std, smaller by what rounding may change."""
        mean, std = mean[self.feature], std[self.feature]
        low, high = self.low * std + mean + ROUNDING, self.high * std + mean - ROUNDING
        return Leaves(self.feature, low, high, self.used, self.share, self.logits, self.tree)


@dataclass(frozen=True, slots=True)
class References:
    """The stored images that a model compares an image with: the nearest `neighbours` of them vote."""

    images: Tensor  # (R, D)
    labels: Tensor  # (R,)
    neighbours: int
    weight: Tensor  # (D,) of a pixel's squared difference

    def in_pixels(self, mean: Tensor, std: Tensor) -> "References":
        """The same references for images before (x - mean) / std."""
        return References(self.images * std + mean, self.labels, self.neighbours, self.weight / std.square())


Structure = Leaves | References
OFFERS = {"leaves": Leaves, "references": References}  # as attacks name them, in their decorators


def relative_change(before: Tensor, after: Tensor) -> Tensor:
    """(N,) the largest change of a logit, as a share of the largest logit."""
    return (before - after).abs().amax(1) / before.abs().amax(1).clamp_min(TINY)


def is_affine(answer: Callable[[Tensor], Tensor], x: Tensor, noise: Tensor, tolerance: float) -> bool:
    """True if the logits are linear in the pixels: half-way between an image and noise they are half-way between theirs."""
    between = (answer(x) + answer(noise)) / 2
    return bool((relative_change(between, answer((x + noise) / 2)) < tolerance).all())


def structure_of(model: nn.Module) -> Structure | None:
    """The parts that a model without defenses offers; None if it offers none."""
    network = model.network if isinstance(model, Classifier) else model
    offers = getattr(network, "structure", None)
    found: Structure | None = offers() if callable(offers) else None
    if found is None or not isinstance(model, Classifier) or model.plain:
        return found
    mean, std = (one.expand(model.shape).flatten() for one in (model.mean, model.std))
    return found.in_pixels(mean, std)
