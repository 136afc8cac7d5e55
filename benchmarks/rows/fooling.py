"""Fooling pictures (Nguyen, Yosinski, Clune, arXiv:1412.1897): by gradient, by evolution of pixels and of networks."""

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from advcli.datasets.mnist import mnist
from advcli.files.imageset_reader import ImageSet
from advcli.images import downloads
from advcli.images.dataset import FOOLING
from advcli.networks import model_file
from advcli.numerics import cppn
from benchmarks.rows.bench import UNDEFENDED, Bench, Shown

ENOUGH = 0.99  # confidence
SMOOTHER = 5  # times
ENCODINGS = ("direct", "cppn")


def made(bench: Bench, method: str, *options: str) -> tuple[Path, float]:
    """The fooling pictures of all classes of an undefended MNIST cnn, and the seconds that they took."""
    path, begin = bench.folder / f"{'-'.join([method, *options])}.h5", time.perf_counter()
    bench.advcli("attack", "--method", method, *options, "--model", str(UNDEFENDED), "-o", str(path))
    return path, time.perf_counter() - begin


def pictures(path: Path) -> Tensor:
    """The pictures of a set."""
    with ImageSet(path) as opened:
        return opened.rows("images", 0, len(opened))


def confidence(path: Path) -> Tensor:
    """The model's confidence in the target of each picture, asked again."""
    with ImageSet(path) as opened, torch.no_grad():
        x, target = opened.rows("images", 0, len(opened)), torch.from_numpy(opened.column("target"))
        found: Tensor = model_file.read(UNDEFENDED).module().eval()(x).softmax(1).gather(1, target[:, None])[:, 0]
        return found


def evolution(path: Path) -> tuple[bool, str]:
    """Whether the median confidence is enough and none ever fell, and the figures."""
    with ImageSet(path) as opened:
        curves, queries = opened.column("confidence"), int(opened.column("queries").sum())
    medians = np.median(curves, axis=0)
    told = f"median {medians[-1]:.2%} of {len(curves)} classes, lowest {curves[:, -1].min():.2%}, {queries:,} queries"
    if medians[-1] >= ENOUGH:
        told += f", {ENOUGH:.0%} after {int((medians >= ENOUGH).argmax()) + 1} of {curves.shape[1]} generations"
    asked_again = float(confidence(path).median())
    return bool((np.diff(curves) >= 0).all()) and min(asked_again, float(medians[-1])) >= ENOUGH, told


def total_variation(x: Tensor) -> float:
    """The mean difference of neighbouring pixels, across and down."""
    return float(x.diff(dim=2).abs().mean() + x.diff(dim=3).abs().mean()) / 2


def s2_a2(bench: Bench) -> Shown:
    """Gradient ascent: at least 99 % confidence in each of the ten MNIST classes in under a minute; the true class is -1."""
    path, seconds = made(bench, "fool-gradient")
    with ImageSet(path) as opened:
        unlabelled = bool((opened.column("labels") == -1).all())
    lowest = float(confidence(path).min())
    holds = lowest >= ENOUGH and unlabelled and seconds < 60
    return Shown(holds, f"lowest confidence {lowest:.2%}, {seconds:.0f} s")


def s2_a3(bench: Bench) -> Shown:
    """Pixels: median confidence of ten classes at least 99 % within 200 generations on an undefended MNIST cnn, in under ten
    minutes; no class's confidence falls; the nearest training image is further away than that of any digit of the test split."""
    path, seconds = made(bench, "fool-evolve", "--encoding", "direct")
    enough, told = evolution(path)
    train, test = (
        mnist(split, downloads.library(None)).batch(0, count)[0] for split, count in (("train", 55_000), ("test", 500))
    )
    nearest = [torch.cdist(x.flatten(1), train.flatten(1)).amin(1) for x in (pictures(path), test)]
    apart = f"l2 to the nearest training image at least {nearest[0].min():.1f}, of 500 test digits at most {nearest[1].max():.1f}"
    return Shown(enough and bool(nearest[0].min() > nearest[1].max()) and seconds < 600, f"{told}; {apart}; {seconds:.0f} s")


def s2_a4(bench: Bench) -> Shown:
    """Networks: median confidence of ten classes at least 99 % within 200 generations on an undefended MNIST cnn, in under ten
    minutes; the genome draws the identical image and the same at another size; total variation at least five times lower."""
    path, seconds = made(bench, "fool-evolve", "--encoding", "cppn")
    enough, told = evolution(path)
    x = pictures(path)
    with ImageSet(path) as opened:
        genomes = [cppn.read(text, 1) for text in opened.genomes()]
    same = torch.equal(cppn.drawn(genomes, (1, 28, 28)), x)
    larger = cppn.drawn(genomes, (1, 84, 84))[:, :, 1::3, 1::3]
    same = same and bool(torch.allclose(larger, x, atol=1e-5))
    rough = [total_variation(pictures(made(bench, "fool-evolve", "--encoding", "direct")[0])), total_variation(x)]
    smoother = f"total variation {rough[1]:.4f}, of pixels {rough[0]:.4f}: {rough[0] / rough[1]:.1f} times"
    return Shown(enough and same and rough[0] >= SMOOTHER * rough[1] and seconds < 600, f"{told}; {smoother}; {seconds:.0f} s")


def of_the_class(model: Path, path: Path) -> float:
    """The share of a set's pictures that a model puts into the class of fooling pictures."""
    found = model_file.read(model)
    with torch.no_grad():
        said = found.module().eval()(pictures(path), None).argmax(1)
    return float((said == found.classes.index(FOOLING)).float().mean())


def s2_d0(bench: Bench) -> Shown:
    """The row asks for no figure. Here: after training again with a class of fooling pictures (by gradient and by evolution), at
    least 90 % of new ones of the old model fall into it, and clean accuracy is within a point; new pictures made against the
    wider model stand beside."""
    first = [made(bench, "fool-gradient", "--count", "40")[0]]
    first += [made(bench, "fool-evolve", "--encoding", code, "--count", "2", "--generations", "60")[0] for code in ENCODINGS]
    wider = bench.folder / "wider.safetensors"
    more = [word for one in first for word in ("--fooling", str(one))]
    start = ["--data", "mnist", "--arch", "cnn", "--weights", str(UNDEFENDED), "--part", "1/5", "--epochs", "2"]
    bench.advcli("train", *start, *more, "-o", str(wider))
    new = {"gradient": ("fool-gradient", "--count", "10")}
    new |= {code: ("fool-evolve", "--encoding", code, "--generations", "60") for code in ENCODINGS}
    said, caught = [], []
    for name, how in new.items():
        static = made(bench, *how, "--seed", "7")[0]
        caught.append(of_the_class(wider, static))
        path = bench.folder / "against-it.h5"
        bench.advcli("attack", "--method", *how, "--seed", "7", "--model", str(wider), "-o", str(path), "--force")
        with ImageSet(path) as opened:
            aimed = opened.column("target") != len(opened.classes) - 1
            still = float(opened.column("success")[aimed].mean())
        said.append(f"{name}: {caught[-1]:.1%} of new pictures of the old model are seen, {still:.1%} against it succeed")
    before, after = (bench.accuracy(one, "--data", "mnist:test") for one in (UNDEFENDED, wider))
    holds = min(caught) >= 0.9 and after >= before - 0.01
    return Shown(holds, "; ".join([*said, f"clean {before:.1%} before, {after:.1%} after"]))
