"""What the digits show: our models and attacks against an independent plain-torch loop, three seeds each.

DG1 and DG2 of the catalogue were measured on another split; the loop below, which shares no code with the program,
measures them on ours. Every figure of ours must lie within 0.06 of the range of the loop's three seeds, which is the
catalogue's own tolerance, and within 0.06 of the catalogue's range for the clean accuracy.
"""

import json
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from advcli.datasets.digits import digits

EPS = (0.05, 0.1, 0.15, 0.2, 0.3)
SEEDS = (0, 1, 2)
TOLERANCE = 0.06
CLEAN = {"mlp": (0.971, 0.976), "cnn": (0.976, 0.982)}
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


@pytest.mark.parametrize("arch", ARCHS)
def test_clean_fgsm_and_pgd_agree_with_a_plain_torch_loop(arch, run, folder):
    """DG1, DG2."""
    loop = plain_loop(arch)
    budgets = ",".join(map(str, EPS))
    ours = []
    for seed in SEEDS:
        assert run("train", *ARCHS[arch], "--epochs", "40", "--seed", seed, "--force").code == 0
        run("attack", "--method", "fgsm", "--eps", budgets, "-o", "fgsm.h5", "--force")
        run("attack", "--method", "pgd", "--eps", budgets, "--no-early-stop", "-o", "pgd.h5", "--force")
        clean = json.loads(run("evaluate", "--data", "digits:test", "--json").out)["rows"]
        rows = json.loads(run("evaluate", "fgsm.h5", "pgd.h5", "--metric", "accuracy", "--json").out)["rows"]
        accuracies = [row for row in rows if row["metric"] == "accuracy"]
        curve = {name: [row["value"] for row in accuracies if row["set"] == name] for name in ("fgsm.h5", "pgd.h5")}
        ours.append((clean[0]["value"], curve["fgsm.h5"], curve["pgd.h5"]))
    low, high = CLEAN[arch]
    for name, mine, theirs in zip(("clean", "fgsm", "pgd"), zip(*ours, strict=True), zip(*loop, strict=True), strict=True):
        mine, theirs = np.atleast_2d(np.array(mine).T).T, np.atleast_2d(np.array(theirs).T).T
        print(
            f"{arch} {name}: ours {mine.min(0).round(3)} to {mine.max(0).round(3)}, loop {theirs.min(0).round(3)} to {theirs.max(0).round(3)}"
        )
        assert (mine.mean(0) >= theirs.min(0) - TOLERANCE).all()
        assert (mine.mean(0) <= theirs.max(0) + TOLERANCE).all()
    assert low - TOLERANCE <= np.mean([clean for clean, _, _ in ours]) <= high + TOLERANCE
    assert all(p <= f + 1e-9 for _, fgsm, pgd in ours for f, p in zip(fgsm, pgd, strict=True))


def test_smoothing_helps_up_to_three_quarters_of_a_pixel_only(run, folder):
    """DG4 on 8x8: a wider kernel costs more clean accuracy than smoothing can give back."""
    run("train", *ARCHS["mlp"], "--epochs", "40")
    clean = {}
    for sigma in (0, 0.5, 0.75, 1.5):
        run("defend", "--method", "gaussian", "--sigma", sigma, "--force")
        found = json.loads(run("evaluate", "--model", "defended.safetensors", "--data", "digits:test", "--json").out)["rows"]
        clean[sigma] = found[0]["value"]
    print(clean)
    assert clean[0.5] >= clean[0] - 0.03
    assert clean[0.75] >= 0.85
    assert clean[1.5] < clean[0.75] - 0.2
