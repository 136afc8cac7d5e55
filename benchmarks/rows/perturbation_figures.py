"""Figures of perturbations on MNIST: the grid, pixels before and after, the mean perturbation of a pair, and their structure."""

import csv
from pathlib import Path

import numpy as np

from advcli.files import imageset_writer
from advcli.files.imageset_reader import ImageSet
from benchmarks.rows.bench import UNDEFENDED, Bench, Shown

ROBUST = UNDEFENDED.with_name("mnist-adversarial.safetensors")
IMAGES = "300"  # of the test split, each to all nine other classes
Lines = list[dict[str, str]]


def moved(bench: Bench, model: Path | None = None) -> Path:
    """Images of MNIST moved to every other class by gradient ascent on the logit, as paper 0 does."""
    model = model or bench.model("mnist", "cnn", "--epochs", "1")
    path = bench.folder / f"{model.stem}.pairs.h5"
    bench.advcli("attack", "--method", "grad", "--model", str(model), "--target", "all", "--limit", IMAGES, "-o", str(path))
    return path


def figure(bench: Bench, name: str, *words: str) -> Lines:
    """The numbers of a figure of successes."""
    folder = bench.folder / name
    bench.advcli("stats", *words, "--figure", name, "-o", str(folder))
    with (folder / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def s0_f1(bench: Bench) -> Shown:
    """A grid of 10 by 10 cells: the mean of the successes of each of 90 pairs; on the diagonal the classes' mean originals."""
    lines = figure(bench, "grid", str(moved(bench)), "--rows", "successes")
    pairs = [int(line["n"]) for line in lines if line["source"] != line["target"]]
    own = [line for line in lines if line["source"] == line["target"]]
    told = f"{len(pairs)} pairs of {min(pairs)} to {max(pairs)} successes, {pairs.count(0)} of them blank, {len(own)} originals"
    drawn = (bench.folder / "grid" / "grid.png").exists()
    return Shown(drawn and len(pairs) == 90 and len(own) == 10 and all(line["n"] != "0" for line in own), told)


def s0_f3(bench: Bench) -> Shown:
    """From 1 to 2: the counts sum to n * 784, the share of pixels strictly inside (0.02, 0.98) rises at least three times, and
    the deviation of the adversarial pixels is larger than that of those which were 0 before."""
    lines = figure(bench, "pixels", str(moved(bench)), "--rows", "successes", "--where", "label=1,target=2")
    counts = {of: sum(int(line["count"]) for line in lines if (line["of"], line["statistic"]) == (of, "bin"))
              for of in ("originals", "images")}  # fmt: skip
    share, std = ({line["of"]: float(line["value"]) for line in lines if line["statistic"] == one} for one in ("inside", "std"))
    rows, rest = divmod(counts["images"], 784)
    told = (f"{rows} rows; inside {share['originals']:.1%} before, {share['images']:.1%} after; deviation {std['originals']:.3f} "
            f"before, {std['images']:.3f} after, {std['background']:.3f} on the background")  # fmt: skip
    whole = rest == 0 and rows > 0 and counts["originals"] == counts["images"]
    return Shown(whole and share["images"] >= 3 * share["originals"] and std["images"] > std["background"], told)


def noise_beside(path: Path, noisy: Path) -> None:
    """The same set, with unclipped uniform noise in the place of its perturbations."""
    with ImageSet(path) as opened:
        columns = {name: opened.column(name) for name in opened.names() if name != "header"}
        header, before = dict(opened.header), opened.pick("originals", columns["original"]).numpy()
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, columns["images"].shape).astype(np.float32)
    columns["images"] = before + noise
    made = header["made"]
    header["made"] = made | {"options": made["options"] | {"clip": False}}
    header["range"] = [float(columns["images"].min()), float(columns["images"].max())]
    imageset_writer.write_rows(noisy, header, columns)


def s0_f4(bench: Bench) -> Shown:
    """The mean perturbation from 1 to j correlates with the mean original of j less that of 1 by more than 0.3, and more than
    with any other k less 1, for at least 8 of the 9 j, on a cnn of one epoch and on the committed one of 98.6 %; that of noise
    is near 0. The signs are told too."""
    path, noisy = moved(bench), bench.folder / "noise.h5"
    noise_beside(path, noisy)
    good, told = correlations(bench, path)
    _, of_noise = correlations(bench, noisy)
    also, longer = correlations(bench, moved(bench, UNDEFENDED))
    largest = max(abs(float(line["correlation"])) for line in own_lines(bench, noisy))
    return Shown(min(good, also) >= 8 and largest < 0.2, f"one epoch: {told}; noise: {of_noise}; the network of 98.6 %: {longer}")


def correlations(bench: Bench, path: Path) -> tuple[int, str]:
    """For how many j the criterion holds, and the figures."""
    own = own_lines(bench, path)
    good = sum(line["best"] == "1" and float(line["correlation"]) > 0.3 for line in own)
    values, signs = ([float(line[one]) for line in own] for one in ("correlation", "sign_correlation"))
    return good, f"{good} of {len(own)} j, {min(values):.2f} to {max(values):.2f}, signs {min(signs):.2f} to {max(signs):.2f}"


def own_lines(bench: Bench, path: Path) -> Lines:
    """Of every pair from 1 the correlation with the target less the source."""
    lines = figure(bench, "mean-perturbation", str(path), "--rows", "successes", "--where", "label=1", "--force")
    return [line for line in lines if line["against"] == line["target"]]


def s1_k4(bench: Bench) -> Shown:
    """DGSM at 0.02: the perturbations of an adversarially trained network follow the edges of the image more than those of a
    plain one; correlations with the gradient magnitude of at least 50 images, with intervals, and the spectral centroids."""
    sets = []
    for name, model in (("plain", UNDEFENDED), ("robust", ROBUST)):
        sets.append(str(bench.folder / f"{name}.h5"))
        bench.advcli("attack", "--method", "dgsm", "--model", str(model), "--data", "mnist", "--eps", "0.02", "--limit", "200",
                     "--no-early-stop", "-o", sets[-1])  # fmt: skip
    lines = figure(bench, "structure", *sets)
    plain, robust = ({line["of"]: line for line in lines if line["set"] == f"{name}.h5"} for name in ("plain", "robust"))
    told = "; ".join(f"{name} {described(one)}" for name, one in (("plain", plain), ("robust", robust)))
    enough = min(int(one["edges"]["images"]) for one in (plain, robust)) >= 50
    return Shown(enough and float(robust["edges"]["low"]) > float(plain["edges"]["high"]), told)


def described(one: dict[str, dict[str, str]]) -> str:
    """The two measures of one set."""
    mean, low, high = (float(one["edges"][word]) for word in ("mean", "low", "high"))
    return f"{mean:.3f} [{low:.3f}, {high:.3f}] of {one['edges']['images']} images, centroid {float(one['centroid']['mean']):.2f}"
