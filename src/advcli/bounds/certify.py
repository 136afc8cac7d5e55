"""The margin's lower bound of every image: of its class before each other, for every image of the ball.

What is cheap comes first: intervals, and only for the images that they do not prove what is dearer. A bound of one way is
never given up for that of another, so that each is at least as good as the one before.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from advcli.bounds.graph import Graph
from advcli.bounds.interval import intervals
from advcli.numerics.balls import tolerance

Method = Literal["interval"]
CHUNK = 256  # images at a time


@dataclass(frozen=True)
class Region:
    """The images in [0, 1] within `eps` of some centres, and the little more that float32 may add to a budget."""

    center: Tensor  # float64
    eps: float
    norm: str

    def box(self) -> tuple[Tensor, Tensor]:
        """The lowest and highest value of every pixel."""
        radius = self.eps + tolerance(self.eps)
        return (self.center - radius).clamp(0, 1), (self.center + radius).clamp(0, 1)


def misread(graph: Graph, model: nn.Module, images: Tensor) -> bool:
    """True if the model's float32 answers to some images lie outside the bounds at these very images."""
    exact = images.double()
    box, logits = intervals(graph, exact, exact), model(images).double()
    return not bool(((logits >= box.low[-1]) & (logits <= box.high[-1])).all())


def certify(
    graph: Graph, images: Tensor, labels: Tensor, eps: float, norm: str, method: str = "interval", iterations: int = 0
) -> Tensor:
    """(N,) a lower bound of min over other classes of z_label - z_other within the ball; above 0 the decision is proved."""
    found = [
        _margins(graph, Region(images[k : k + CHUNK].double(), eps, norm), labels[k : k + CHUNK])
        for k in range(0, len(images), CHUNK)
    ]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)


def _margins(graph: Graph, region: Region, labels: Tensor) -> Tensor:
    box = intervals(graph, *region.box())
    own = box.low[-1].gather(1, labels[:, None])
    others = box.high[-1].scatter(1, labels[:, None], -torch.inf)
    return (own - others).amin(1)
