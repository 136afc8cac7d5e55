"""What the figures of a model show on MNIST: sensitivity, linearity, the loss around images, activations, votes."""

import csv
from itertools import pairwise
from pathlib import Path

from benchmarks.rows.bench import UNDEFENDED, Bench, Shown

ROBUST = UNDEFENDED.with_name("mnist-adversarial.safetensors")
COLOUR = UNDEFENDED.with_name("cifar10-resnet18.safetensors")
SOME = ("--data", "mnist:test", "--limit", "200")


def drawn(bench: Bench, figure: str, model: Path, adversarial: str, *words: str) -> list[dict[str, str]]:
    """The numbers under a figure of a model and a set."""
    folder = f"{figure}-{model.stem}"
    bench.advcli("stats", adversarial, "--model", str(model), "--figure", figure, *words, "-o", folder)
    with (bench.folder / folder / f"{figure}.csv").open() as file:
        return list(csv.DictReader(file))


def attacked(bench: Bench, model: Path, *words: str) -> str:
    """A set of 200 images made against a model."""
    name = f"{model.stem}.h5"
    bench.advcli("attack", "--model", str(model), *SOME, *words, "-o", name)
    return name


def s0_f2(bench: Bench) -> Shown:
    """The median sensitivity of a robust network is smaller than that of an undefended one, each on PGD at 0.2 against itself."""
    found = []
    for model in (UNDEFENDED, ROBUST):
        (row,) = [
            row
            for row in drawn(bench, "sensitivity", model, attacked(bench, model, "--method", "pgd", "--eps", "0.2"))
            if row["of"] == "median"
        ]
        found.append(float(row["ratio"]))
    return Shown(found[1] < found[0], f"median ratio (probabilities, l2) {found[0]:.3f} undefended, {found[1]:.3f} robust")


def s1_k5(bench: Bench) -> Shown:
    """R^2 of straight lines through the logits along the sign of the gradient is above 0.95 up to 0.02."""
    rows = drawn(bench, "linearity", UNDEFENDED, attacked(bench, UNDEFENDED, "--method", "fgsm", "--eps", "0.1"), "--ways", "100")
    (at,) = [row for row in rows if row["of"] == "mean" and abs(float(row["step"]) - 0.02) < 1e-9]
    (far,) = [row for row in rows if row["of"] == "mean" and abs(float(row["step"]) - 0.1) < 1e-9]
    figures = f"median R2 {float(at['r2']):.4f} at 0.02 and {float(far['r2']):.4f} at 0.1, 100 images"
    return Shown(float(at["lower quartile"]) > 0.95, figures)


def s1_k3(bench: Bench) -> Shown:
    """The range of the loss within 0.1 is smaller for the robust network than for the base on at least 70 % of 20 images."""
    made = attacked(bench, UNDEFENDED, "--method", "fgsm", "--eps", "0.1")
    ranges = []
    for model in (UNDEFENDED, ROBUST):
        rows = [row for row in drawn(bench, "landscape", model, made, "--panels", "20") if row["of"] == "image"]
        ranges.append([float(row["highest"]) - float(row["lowest"]) for row in rows])
    smaller = sum(robust < base for base, robust in zip(*ranges, strict=True))
    return Shown(smaller >= 14, f"smaller on {smaller} of {len(ranges[0])} images")


def s2_f2(bench: Bench) -> Shown:
    """The relative difference of activations grows in at least 3 of 4 steps from the image: through the layers with weights of
    the MNIST cnn, and through the four stages of the CIFAR-10 resnet18."""
    rows = drawn(bench, "activations", UNDEFENDED, attacked(bench, UNDEFENDED, "--method", "fgsm", "--eps", "0.1"))
    digits = [float(row["relative"]) for row in rows if row["type"] in ("Conv2d", "Linear") or row["layer"] == "image"]
    model = ("--model", str(COLOUR), "--method", "fgsm", "--eps", "8/255", "--limit", "50", "--data", "cifar10:test")
    bench.advcli("attack", *model, "-o", "colour.h5")
    ends = ("image", *(f"network.layer{k}.1.relu" for k in (1, 2, 3, 4)))
    things = [float(row["relative"]) for row in drawn(bench, "activations", COLOUR, "colour.h5") if row["layer"] in ends]
    told = [f"{name} {' → '.join(f'{one:.2f}' for one in line)}" for name, line in (("MNIST", digits), ("CIFAR-10", things))]
    grows = [sum(after > before for before, after in pairwise(line)) for line in (digits, things)]
    return Shown(min(grows) >= 3, f"medians {'; '.join(told)}: grows in {grows[0]} and {grows[1]} of 4 steps")


def s0_f5(bench: Bench) -> Shown:
    """Two bar charts of the votes of one image, on the same ten classes, whose counts sum to the passes."""
    net = bench.model("mnist", "cnn", "--dropout", "0.5", "--epochs", "3")
    bench.advcli("defend", "--model", str(net), "--method", "dropout-vote", "--passes", "50", "-o", "vote.safetensors")
    minimal = ("--method", "bim", "--target", "next", "--eps", "0.4", "--step-size", "0.01", "--steps", "40")
    rows = drawn(bench, "votes", bench.folder / "vote.safetensors", attacked(bench, net, *minimal))
    sums = {name: sum(int(row["votes"]) for row in rows if row["of"] == "votes" and row["image"] == name)
            for name in ("original", "adversarial")}  # fmt: skip
    mean = {row["image"]: float(row["entropy"]) for row in rows if row["of"] == "mean entropy"}
    figures = f"50 of 50 votes each; mean entropy {mean['original']:.2f} clean, {mean['adversarial']:.2f} minimal adversarial"
    return Shown(set(sums.values()) == {50} and mean["adversarial"] > mean["original"], figures)
