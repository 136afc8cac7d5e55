"""MagNet: rejects images that an autoencoder restores badly, and classifies what it restores of the others.

A(x) is trained on clean images alone, to restore them under Gaussian noise: ||A(x + n) - x||^2. The detectors are the mean of
|x - A(x)| (l1) and of its square (l2), and the Jensen-Shannon divergence of softmax z(x)/T and softmax z(A(x))/T (jsd:T). The
score is the largest of them, each less its mean and divided by its spread over the training images at the end of training, so
that one threshold, set on validation images, serves all. --mode detect rejects only, and classifies x itself. It detects
attacks on the plain model; attacks that go through it succeed (Carlini and Wagner, arXiv:1711.08478).
"""

from math import log
from typing import Annotated, Literal, cast

import torch
from torch import Tensor, nn

from advcli.catalog.options import Fpr
from advcli.catalog.params import Param
from advcli.catalog.registry import defense
from advcli.errors import CommandError
from advcli.networks.fitting_batch import FittingBatch
from advcli.networks.rejection import Rejecting, split
from advcli.numerics.rng import SampleRNG

functional = nn.functional
LATEST = 0.1  # weight of the latest batch in the mean and the spread of the detectors' scores


class Autoencoder(nn.Module):
    """Convolutions around one halving, without a way past it; and what the detectors find on clean images."""

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, channels: int, width: int, detectors: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.deep = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.last = nn.Conv2d(width, channels, 3, padding=1)
        self.register_buffer("mean", torch.zeros(detectors, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(detectors, dtype=torch.float64))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        fine = functional.elu(self.first(x))
        half = functional.adaptive_avg_pool2d(fine, (-(-height // 2), -(-width // 2)))
        for layer in self.deep[:2]:
            half = functional.elu(layer(half))
        whole = functional.elu(self.deep[2](functional.interpolate(half, (height, width))))
        return cast(Tensor, self.last(whole).sigmoid())

    def record(self, found: Tensor) -> None:
        """Follow the mean and the variance of scores (N, detectors) as the training goes on."""
        self.batches += 1
        share = max(LATEST, 1 / int(self.batches))
        self.mean += share * (found.mean(0) - self.mean)
        self.variance += share * ((found - self.mean).square().mean(0) - self.variance)

    def largest(self, found: Tensor) -> Tensor:
        """(N,) the largest score, each in units of its own."""
        return ((found - self.mean) / self.variance.clamp_min(1e-24).sqrt()).amax(1).float()


def divergence(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """(N,) the Jensen-Shannon divergence of two softmax outputs at a temperature."""
    p, q = (one.double().div(temperature).log_softmax(1) for one in (first, second))
    middle = torch.logaddexp(p, q) - log(2)
    return 0.5 * (p.exp() * (p - middle) + q.exp() * (q - middle)).sum(1)


def read(text: str) -> list[float]:
    """The detectors of a text such as `l1,l2,jsd:10`: the power of an error, or minus the temperature of a divergence."""
    found = []
    for piece in text.split(","):
        word, _, value = piece.strip().partition(":")
        if word in ("l1", "l2") and not value:
            found.append(float(word[1]))
        elif word == "jsd" and value.isdecimal() and 1 <= int(value) <= 1000:
            found.append(-float(value))
        else:
            raise CommandError(f"--detectors: {piece!r} is none of l1, l2 and jsd:T (1 to 1000)")
    return found


class MagNet(Rejecting):
    """A model behind an autoencoder and its detectors."""

    copies = 2

    def __init__(self, model: nn.Module, learned: Autoencoder, detectors: list[float], noise: float, *, reform: bool) -> None:
        super().__init__(model)
        self.learned, self.detectors, self.noise, self.reform = learned, detectors, noise, reform

    def score(self, x: Tensor, draws: SampleRNG | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        """The detectors' score, the logits of the restored image or of the image itself, and the excess of detectors below."""
        restored = self.learned(x)
        seen, restored_seen = (split(self.model(one, draws), self.inner) for one in (x, restored))
        found = self.measured(x, restored, seen[0], restored_seen[0])
        return self.learned.largest(found), *(restored_seen if self.reform else seen)

    def measured(self, x: Tensor, restored: Tensor, scores: Tensor, restored_scores: Tensor) -> Tensor:
        """(N, detectors) what every detector finds."""
        error = (x - restored).double().abs().flatten(1)
        each = [error.pow(one).mean(1) if one > 0 else divergence(scores, restored_scores, -one) for one in self.detectors]
        return torch.stack(each, 1)

    def fitting_loss(self, x: Tensor, batch: FittingBatch) -> Tensor:
        """(N,) the squared distance of clean images from what is restored of them under noise."""
        with torch.no_grad():
            restored, draws = self.learned(x), batch.rng.fork("scores")
            self.learned.record(self.measured(x, restored, self.ask(x, draws), self.ask(restored, draws)))
        noisy = (x + self.noise * batch.rng.fork("noise").normal(*x.shape[1:])).clamp(0, 1)
        return cast(Tensor, (self.learned(noisy) - x).square().flatten(1).sum(1))


@defense(family="detector", gradient="exact", learns=True, opponents=False, rejects=True, paper="arXiv:1705.09064")
def magnet(
    model: nn.Module,
    shape: tuple[int, int, int],
    classes: int,
    *,
    mode: Annotated[Literal["both", "detect"], Param("Reject and restore, or reject only.")] = "both",
    detectors: Annotated[str, Param("Detectors: l1, l2, jsd:T, or several.", form="WORD,...")] = "l1,l2,jsd:10,jsd:40",
    width: Annotated[int, Param("Channels of the autoencoder.", low=1, high=1024)] = 8,
    noise: Annotated[float, Param("Standard deviation of the noise in training.", low=0, high=10)] = 0.1,
    fpr: Fpr = 0.05,
) -> nn.Module:
    known = read(detectors)
    return MagNet(model, Autoencoder(shape[0], width, len(known)), known, noise, reform=mode == "both")
