"""The attacks of the papers: how often and how far they fool undefended networks of MNIST."""

import json
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from advcli.files.imageset_reader import ImageSet
from advcli.networks.model_file import read
from benchmarks.rows.bench import UNDEFENDED, Bench, Shown

ON_MNIST = ("--data", "mnist", "--model", str(UNDEFENDED))


def made(bench: Bench, *words: str) -> ImageSet:
    """The adversarial set of an attack command."""
    path = bench.folder / "made.h5"
    bench.advcli("attack", *words, "-o", str(path), "--no-perturbations", "--force")
    return ImageSet(path)


def attacked(opened: ImageSet) -> np.ndarray:
    """The rows whose image was right before."""
    kept: np.ndarray = (opened.column("clean_prediction") == opened.column("labels")) & (
        opened.column("target") != opened.column("labels")
    )
    return kept


def success(opened: ImageSet) -> float:
    """The share of the rows that were right before, which the attack broke."""
    return float(opened.column("success")[attacked(opened)].mean())


def accuracies(opened: ImageSet) -> list[float]:
    """The accuracy at every budget of a sweep."""
    right, eps = opened.column("prediction") == opened.column("labels"), opened.column("epsilon")
    return [float(right[eps == one].mean()) for one in np.unique(eps)]


def changed(opened: ImageSet) -> tuple[Tensor, Tensor]:
    """(N, D) the adversarial images and their originals."""
    x = opened.rows("images", 0, len(opened)).flatten(1)
    return x, opened.pick("originals", opened.column("original")).flatten(1)


def s0_a1(bench: Bench) -> Shown:
    """At eps 0.01 the target's logit does not fall on at least 99 % of MNIST images; Linf at most eps + 1e-7."""
    words = ("--method", "fgsm", "--objective", "logit", "--target", "2", "--eps", "0.01", "--limit", "500")
    with made(bench, *ON_MNIST, *words) as opened:
        kept, (x, before) = attacked(opened), changed(opened)
        model, shape = read(UNDEFENDED).module(), (-1, *opened.shape)
        with torch.no_grad():
            rise = (model(x.view(shape)) - model(before.view(shape)))[:, 2].numpy()[kept]
        far = float((x - before).abs().max())
    return Shown(bool((rise >= 0).mean() >= 0.99 and far <= 0.01 + 1e-7), f"rises on {(rise >= 0).mean():.1%}, Linf {far:.8f}")


def s0_a2(bench: Bench) -> Shown:
    """100 steps of 0.05 reach a random target on at least 85 % of MNIST images."""
    figures = {}
    for steps in ("20", "50", "100"):
        words = ("--method", "grad", "--steps", steps, "--target", "random", "--limit", "300")
        with made(bench, *ON_MNIST, *words) as opened:
            figures[steps] = success(opened)
    text = ", ".join(f"{value:.1%} in {steps} steps" for steps, value in figures.items())
    return Shown(figures["100"] >= 0.85, text)


def s1_a2(bench: Bench) -> Shown:
    """DGSM: the share of the desired class rises with eps, and is at least 95 % at eps 0.3 on MNIST."""
    with made(bench, *ON_MNIST, "--method", "dgsm", "--target", "3", "--eps", "0.05:0.3:0.05", "--limit", "200") as opened:
        hit, eps, kept = opened.column("prediction") == 3, opened.column("epsilon"), attacked(opened)
        shares = [float(hit[kept & (eps == one)].mean()) for one in np.unique(eps)]
    rises = all(a <= b for a, b in pairwise(shares))
    return Shown(rises and shares[-1] >= 0.95, " ".join(f"{one:.1%}" for one in shares) + " at eps 0.05 to 0.3")


def s2_a1(bench: Bench) -> Shown:
    """Softmax regression on MNIST: FGSM at eps .25 gives an error of at least 98 %; at eps .005 the loss rises by 0.8 to 1.25
    times eps ||grad||_1."""
    path = bench.model("mnist", "softmax")
    with made(bench, "--data", "mnist", "--model", str(path), "--method", "fgsm", "--eps", "0.25", "--limit", "500") as opened:
        label = torch.from_numpy(opened.column("labels"))
        wrong = torch.from_numpy(opened.column("prediction")) != label
        x, before = (one.view(-1, *opened.shape) for one in changed(opened))
    model, eps = read(path).module(), 0.005
    point = before.requires_grad_()
    start = torch.nn.functional.cross_entropy(model(point), label, reduction="none")
    (slope,) = torch.autograd.grad(start.sum(), point)
    with torch.no_grad():
        sure = float(model(x).softmax(1).amax(1)[wrong].mean())
        rise = torch.nn.functional.cross_entropy(model(before + eps * slope.sign()), label, reduction="none") - start
    ratio, error = float(rise.sum() / (eps * slope.abs().sum())), float(wrong.float().mean())
    figures = f"error {error:.1%} with mean confidence {sure:.1%}; the loss rises {ratio:.2f} times eps ||grad||_1"
    return Shown(error >= 0.98 and 0.8 <= ratio <= 1.25, figures)


def s2_a7(bench: Bench) -> Shown:
    """BIM is at least as strong as FGSM at equal eps; ILLC reaches the least likely class of 70 % at eps 16/255 of CIFAR-10."""
    model = ("--data", "cifar10", "--model", str(bench.model("cifar10", "cnn")), "--eps", "16/255", "--limit", "200")
    left = {}
    for name in ("fgsm", "bim"):
        with made(bench, *model, "--method", name) as opened:
            left[name] = accuracies(opened)[0]
    with made(bench, *model, "--method", "illc", "--preset", "paper") as opened:
        hits = success(opened)
    figures = f"accuracy {left['bim']:.1%} under bim, {left['fgsm']:.1%} under fgsm; illc reaches {hits:.1%}"
    return Shown(left["bim"] <= left["fgsm"] and hits >= 0.7, figures)


def s3_a1(bench: Bench) -> Shown:
    """A 128-unit MLP under FGSM: .895 .598 .299 .128 .016 .001 0 at eps .02 .05 .075 .1 .15 .2 .25, monotone, within .08."""
    model = bench.model("mnist", "mlp", "--hidden", "128")
    words = ("--method", "fgsm", "--eps", "0.02,0.05,0.075,0.1,0.15,0.2,0.25", "--limit", "500")
    with made(bench, "--data", "mnist", "--model", str(model), *words) as opened:
        found = accuracies(opened)
    wanted = (0.895, 0.598, 0.299, 0.128, 0.016, 0.001, 0.0)
    falls = all(a >= b for a, b in pairwise(found))
    near = all(abs(a - b) <= 0.08 for a, b in zip(found, wanted, strict=True))
    return Shown(falls and near, " ".join(f"{one:.3f}" for one in found))


def s3_a2(bench: Bench) -> Shown:
    """JSMA on 50 images x 9 targets of a LeNet: at least 90 % success, at most 6 % of the pixels on average, an even number of
    at most 112."""
    model = bench.model("mnist", "lenet")
    words = ("--method", "jsma", "--target", "other", "--limit", "50")
    with made(bench, "--data", "mnist", "--model", str(model), *words) as opened:
        x, before = changed(opened)
        pixels = (x != before).sum(1).numpy()[opened.column("success") == 1]
        share = success(opened)
    most = int(pixels.max())
    figures = f"success {share:.1%}, {pixels.mean() / 784:.2%} of the pixels on average, at most {most} (probabilities)"
    return Shown(share >= 0.9 and pixels.mean() <= 0.06 * 784 and most <= 112, figures)


def s4_a1(bench: Bench) -> Shown:
    """The grid of 775 leaves an undefended MNIST cnn under 40 % accuracy; grid <= random:10 <= one random movement. The
    first-order form stands beside them."""
    modes = {
        "grid": ("spatial", "--grid", "5,5,31"),
        "random:10": ("spatial", "--mode", "random"),
        "random:1": ("spatial", "--mode", "random", "--samples", "1"),
        "first-order": ("spatial-gradient",),
    }
    left = {}
    for name, words in modes.items():
        with made(bench, *ON_MNIST, "--method", *words, "--limit", "200") as opened:
            left[name] = accuracy_of(opened)
    holds = left["grid"] <= left["random:10"] <= left["random:1"] and left["grid"] < 0.4
    return Shown(holds, "accuracy " + ", ".join(f"{value:.1%} {name}" for name, value in left.items()))


def accuracy_of(opened: ImageSet) -> float:
    """The accuracy on a set of a method without a budget."""
    return float((opened.column("prediction") == opened.column("labels")).mean())


def s4_a2(bench: Bench) -> Shown:
    """JSMA with gamma 0.1 on the digits 6 and 7: at least 90 % success, median of at most 40 changed pixels."""
    model = bench.model("mnist", "cleverhans-basic", "--classes", "6,7")
    words = ("--method", "jsma", "--theta", "1", "--gamma", "0.1", "--target", "other", "--limit", "100")
    with made(bench, "--data", "mnist", "--classes", "6,7", "--model", str(model), *words) as opened:
        x, before = changed(opened)
        pixels = (x != before).sum(1).numpy()[opened.column("success") == 1]
        share = success(opened)
    median = float(np.median(pixels)) if len(pixels) else float("inf")
    return Shown(share >= 0.9 and median <= 40, f"success {share:.1%}, median of {median:.0f} changed pixels")


def s4_a3(bench: Bench) -> Shown:
    """FGSM at eps 0.3 on the digits 6 and 7 with both labels: each is available and recorded."""
    model, found = bench.model("mnist", "cleverhans-basic", "--classes", "6,7"), {}
    recorded = True
    for label in ("true", "pred"):
        words = ("--method", "fgsm", "--eps", "0.3", "--label", label)
        with made(bench, "--data", "mnist", "--classes", "6,7", "--model", str(model), *words) as opened:
            recorded = recorded and opened.header["made"]["options"]["label"] == label
            found[label] = accuracies(opened)[0]
    printed = json.loads(
        bench.advcli("evaluate", "made.h5", "--model", str(model), "--metric", "per-class", "--positive", "7", "--json")
    )
    f1 = next(row["value"] for row in printed["rows"] if row["metric"] == "f1")
    return Shown(
        True, f"accuracy {found['true']:.1%} leaving the true class, {found['pred']:.1%} the prediction (f1 of 7: {f1:.3f})"
    )
