"""Small random networks of every kind that bounds read, and the exact truth about one of them."""

from functools import partial

import torch
from torch import Tensor, nn

from advcli.bounds import certify as bounds
from advcli.networks.classifier import Classifier

SHAPE = (2, 6, 6)
CLASSES = 4

certify = partial(bounds.certify, quick=False)  # a bound for every image, also for those without hope


class Residual(nn.Module):
    """A convolution beside a shortcut, with a rectifier that writes on what both see."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        return self.norm(self.conv(x)) + x


class Branches(nn.Module):
    """Paths of different reach, one behind the other, added to a third; and functions instead of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.three = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 3, stride=1, padding=1)
        self.wide, self.last = nn.Conv2d(2, 6, 5, padding=2), nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        both = torch.cat([torch.relu(self.one(x)), self.three(x)], 1) - 0.5 * self.wide(x)
        both = nn.functional.max_pool2d(nn.functional.leaky_relu(both, 0.2), 3, 2, 1)
        both = nn.functional.avg_pool2d(both, 2, 1).clamp(-1, 1)
        return {"logits": self.last(both.reshape(x.size(0), -1))}


def layers(kind: str) -> nn.Module:
    """The network of that name, with fresh weights."""
    if kind == "branches":
        return Branches()
    made: dict[str, list[nn.Module]] = {
        "linear": [nn.Flatten(), nn.Linear(72, CLASSES)],
        "mlp": [nn.Flatten(), nn.Linear(72, 12), nn.ReLU(), nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, CLASSES)],
        "curves": [nn.Flatten(), nn.Linear(72, 12), nn.Sigmoid(), nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, CLASSES)],
        "clipped": [nn.Flatten(), nn.Linear(72, 12), nn.ReLU6(), nn.Linear(12, 10), nn.Hardtanh(), nn.Linear(10, CLASSES)],
        "conv": [nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3, 2), nn.LeakyReLU(0.1),
                 nn.Flatten(), nn.Linear(20, CLASSES)],
        "pooled": [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 2), nn.MaxPool2d(1), nn.Flatten(),
                   nn.ReLU(), nn.Linear(6, CLASSES)],
        "residual": [nn.Conv2d(2, 4, 3, padding=1), Residual(4), nn.AvgPool2d(2), Residual(4), nn.AdaptiveAvgPool2d(1),
                     nn.Flatten(), nn.Linear(4, CLASSES)],
        "padded": [nn.ZeroPad2d((1, 0, 2, 1)), nn.Conv2d(2, 4, (3, 2), stride=(2, 1), dilation=(1, 2), groups=2), nn.ReLU(),
                   nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.Flatten(), nn.Linear(36, CLASSES)],
    }  # fmt: skip
    return nn.Sequential(*made[kind])


KINDS = ("linear", "mlp", "curves", "clipped", "conv", "pooled", "residual", "padded", "branches")


def classifier(kind: str, seed: int = 0, spread: float = 2.0) -> Classifier:
    """A random network with weights `spread` times as large as usual, behind a normalisation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = layers(kind)
        with torch.no_grad():
            for one in network.modules():
                if isinstance(one, nn.BatchNorm2d):
                    one.running_mean.normal_()
                    one.running_var.uniform_(0.3, 2)
                    one.weight.uniform_(-2, 2)
                    one.bias.normal_()
                elif isinstance(one, nn.Linear | nn.Conv2d):
                    one.weight.mul_(spread)
    made = Classifier(network, [0.4, 0.6], [0.25, 0.5], shape=SHAPE, classes=CLASSES)
    return made.eval().requires_grad_(False)


def images(count: int, seed: int = 0) -> Tensor:
    """Random images with many pixels that are black or white."""
    draw = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed))
    return (1.6 * draw - 0.3).clamp(0, 1)


def margin(model: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    """The class's logit before the next best, from the float32 logits."""
    logits = model(x).double()
    own = logits.gather(1, labels[:, None])[:, 0]
    return own - logits.scatter(1, labels[:, None], -torch.inf).amax(1)


def inside(x: Tensor, eps: float, norm: str, count: int, seed: int = 0) -> Tensor:
    """(count, N, ...) points of the balls in [0, 1]: of linf corners and random points, of the others on and in the sphere."""
    draws = torch.Generator().manual_seed(seed)
    move = torch.randn(count, *x.shape, generator=draws)
    share = torch.rand(count, len(x), 1, 1, 1, generator=draws)
    if norm == "linf":
        move = torch.where(share < 0.5, move.sign(), move.clamp(-1, 1)) * eps
    else:
        keep = torch.rand(move.shape, generator=draws) < share  # few pixels or many
        move = move * keep
        length = {"l2": lambda m: m.norm(dim=2), "l1": lambda m: m.abs().sum(2)}[norm](move.flatten(2))
        move = move / length.clamp_min(1e-9)[:, :, None, None, None] * eps
    return (x + move).clamp(0, 1)
