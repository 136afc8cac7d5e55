"""An independent plain-torch loop on the digits, which shares no code with the program but the reading of the images."""

from functools import cache

import torch
from torch import nn

from advcli.datasets.digits import digits

EPS = (0.05, 0.1, 0.15, 0.2, 0.3)


SEEDS = (0, 1, 2)


ARCHS = {"mlp": ("--arch", "mlp", "--hidden", "64"), "cnn": ("--arch", "cnn", "--dropout", "0")}


def network(arch):
    if arch == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))  # fmt: skip


def everything(split):
    part = digits(split)
    return part.batch(0, len(part))


@cache
def plain_loop(arch):
    """(clean, fgsm at EPS, pgd-40 at EPS) for each seed: textbook torch."""
    x, y = everything("train")
    test, truth = everything("test")
    found = []
    for seed in SEEDS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(100 + seed)
            net = network(arch)
            optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
            for _ in range(40):
                for rows in torch.randperm(len(x)).split(64):
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
                    optimizer.step()

            def slope(z, net=net):
                z = z.clone().requires_grad_()
                return torch.autograd.grad(nn.functional.cross_entropy(net(z), truth), z)[0].sign()

            def accuracy(z, net=net):
                return float((net(z).argmax(1) == truth).double().mean())

            fgsm = [accuracy((test + eps * slope(test)).clamp(0, 1)) for eps in EPS]
            pgd = []
            for eps in EPS:
                z = (test + eps * (2 * torch.rand_like(test) - 1)).clamp(0, 1)
                for _ in range(40):
                    z = torch.minimum(torch.maximum(z + 2.5 * eps / 40 * slope(z), test - eps), test + eps).clamp(0, 1)
                pgd.append(accuracy(z))
        found.append((accuracy(test), fgsm, pgd))
    return found
