"""Bright blobs on black and a small network with a bend, on which attacks of other forms are tested."""

import torch
from torch import Tensor, nn


def pictures(count: int = 6, shape: tuple[int, ...] = (1, 12, 12), seed: int = 0) -> Tensor:
    """Bright blobs on black, as digits are."""
    drawn = torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))
    return drawn * (nn.functional.avg_pool2d(drawn, 3, 1, 1) > 0.5)


class Bent(nn.Module):
    """A small network with a bend."""

    def __init__(self, size: int = 144, classes: int = 4, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(size, 24), nn.ReLU(), nn.Linear(24, classes))

    def forward(self, x: Tensor, draws: object = None) -> Tensor:
        return self.scale * self.net(2 * x - 0.3)
