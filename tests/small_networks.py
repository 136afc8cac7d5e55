"""Small networks and pictures that the contract tests run on."""

import numpy as np
import torch
from torch import Tensor, nn

from advcli.networks.rejection import Rejecting
from advcli.numerics.rng import SampleRNG


class Small(nn.Module):
    """A network with a bend, for any shape and any number of classes."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 16), nn.ReLU(), nn.Linear(16, classes))

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        return self.net(x)


def pictures(shape: tuple[int, ...], count: int = 5) -> Tensor:
    """Pictures with many pixels that are exactly black or white."""
    return (torch.rand(count, *shape, generator=torch.Generator().manual_seed(0)) * 3 - 1).clamp(0, 1)


class Scaled(nn.Module):
    """The same decisions with logits of another size."""

    def __init__(self, model: nn.Module, scale: float) -> None:
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        return self.scale * self.model(x)


class Bright(Rejecting):
    """Refuses bright pictures: the score is the mean."""

    def __init__(self, model: nn.Module, threshold: float, unit: float = 0.1) -> None:
        super().__init__(model)
        self.adopt({"threshold": threshold, "unit": unit})

    def suspicion(self, x, scores, draws):
        return x.flatten(1).mean(1)


class Affine(nn.Module):
    """Classes split by planes; the exact distance within the box is found by bisection."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        size = int(np.prod(shape))
        self.w = torch.randn(classes, size, generator=torch.Generator().manual_seed(size + classes)) / size**0.5

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        return (x.flatten(1) - 0.5) @ self.w.T

    def distance(self, x: Tensor, label: Tensor, norm: str) -> Tensor:
        """The nearest of the half-spaces of the other classes, each alone, in float64."""
        away = self.w.double()[None] - self.w.double()[label][:, None]
        point = x.double().flatten(1)[:, None]
        lead = ((point - 0.5) * away).sum(2)
        room, size = torch.where(away > 0, 1 - point, point), away.abs()
        if norm == "l1":
            return self._l1(-lead, size, room).scatter(1, label[:, None], torch.inf).amin(1)
        rate = {"l2": size, "linf": torch.ones_like(size)}[norm]
        low, high = torch.zeros_like(lead), torch.full_like(lead, 1e4)
        for _ in range(100):
            middle = (low + high) / 2
            enough = lead + (size * torch.minimum(middle[:, :, None] * rate, room)).sum(2) >= 0
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        move = torch.minimum(high[:, :, None] * rate, room)
        far = move.norm(dim=2) if norm == "l2" else move.amax(2)
        return torch.where(high < 9e3, far, torch.inf).scatter(1, label[:, None], torch.inf).amin(1)

    @staticmethod
    def _l1(gain: Tensor, size: Tensor, room: Tensor) -> Tensor:
        """By duality: the largest of p gain - sum room max(p size - 1, 0) over all prices p, which bends at 1 / size."""
        price = 1 / size.clamp_min(1e-12)
        paid = (price[..., None] * size[:, :, None] - 1).clamp_min(0) @ room[..., None]
        least = (price * gain[..., None] - paid[..., 0]).amax(2)
        return torch.where((size * room).sum(2) >= gain, least, torch.inf)
