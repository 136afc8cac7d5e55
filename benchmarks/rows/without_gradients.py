"""Models of five kinds on MNIST, some of which have no gradients: the attacks made for them, and what transfers between them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from advcli.files.imageset_reader import ImageSet
from advcli.networks.model_file import read
from advcli.networks.structure import Leaves, structure_of
from advcli.numerics.intervals import exact_interval
from benchmarks.rows.bench import Bench, Shown

PARTS = 5
EACH = ("--limit", "10000")  # images of every part
FGSM = ("fgsm", "--eps", "0.3")
KINDS = {
    "DNN": ("mlp", "--epochs", "5"),
    "LR": ("softmax", "--epochs", "8"),
    "SVM": ("svm",),
    "DT": ("tree",),
    "kNN": ("knn",),
}
ATTACKS = {  # as in the paper: a step of 0.3 along signs, a longer way across the plane, the nearest leaf
    "DNN": FGSM,
    "LR": FGSM,
    "SVM": ("svm", "--norm", "linf", "--overshoot", "5"),
    "DT": ("tree", "--norm", "linf"),
    "kNN": ("knn", "--eps", "0.3", "--steps", "1", "--step-size", "eps", "--no-early-stop"),
}
Cell = Mapping[str, float]


def learned(bench: Bench, kind: str, part: int = 1) -> Path:
    """A model of one of five disjoint parts of the training images."""
    arch, *options = KINDS[kind]
    return bench.model("mnist", arch, *options, "--part", f"{part}/{PARTS}", *EACH)


def attacked(bench: Bench, model: Path, how: Sequence[str], count: int, name: str) -> Path:
    """The adversarial set of one attack."""
    made = bench.folder / f"{name}.h5"
    words = ["--data", "mnist:test", "--limit", str(count), "--no-perturbations", "-o", str(made)]
    bench.advcli("attack", "--method", how[0], "--model", str(model), *how[1:], *words)
    return made


def matrix(bench: Bench, sets: Mapping[str, Path], models: Mapping[str, Path]) -> dict[tuple[str, str], Cell]:
    """The cells of sources and targets: of the images that the target has right, the share that it has wrong here."""
    targets = [word for path in models.values() for word in ("--model", str(path))]
    found = {}
    for source, path in sets.items():  # one by one: the distances of one set are no budgets of another
        table = json.loads(bench.advcli("evaluate", str(path), *targets, "--metric", "transfer", "--json"))["rows"]
        whole = [row for row in table if row["threat"]["attack"] in ("fgsm", "knn") or row["epsilon"] is None]
        for target, model in models.items():
            (found[source, target],) = (row for row in whole if row["model"] == str(model))
    return found


def disjoint(models: Sequence[Path]) -> bool:
    """Whether each model says that it was trained on another part of the same training images."""
    said = [read(path).metadata["data"] for path in models]
    parts = {one["part"] for one in said}
    same = {json.dumps({**one, "part": None}, sort_keys=True) for one in said}
    return parts == {f"{part}/{PARTS}" for part in range(1, PARTS + 1)} and len(same) == 1


def s2_s2(bench: Bench) -> Shown:
    """Five models of each kind on disjoint parts of 10,000 images: what was made against a model fools it at least as often as
    it fools the others of its kind on average; the means of the kinds with their intervals."""
    said, holds, numbers = [], True, range(1, PARTS + 1)
    for kind in KINDS:
        models = {str(part): learned(bench, kind, part) for part in numbers}
        sets = {part: attacked(bench, path, ATTACKS[kind], 200, f"{kind}{part}") for part, path in models.items()}
        cells = matrix(bench, sets, models)
        own = [cells[part, part]["value"] for part in sets]
        other = [cell["value"] for (source, target), cell in cells.items() if source != target]
        mean, n = float(np.mean(other)), int(min(cell["n"] for cell in cells.values()))
        low, high = exact_interval(round(mean * n), n)  # of the images of one cell: all cells have the same images
        holds &= disjoint(list(models.values())) and float(np.mean(own)) >= mean
        went = cells["1", "1"]
        said.append(
            f"{kind}: own {np.mean(own):.1%}, others {mean:.1%} ({low:.1%} to {high:.1%}; cells {min(other):.1%} to "
            f"{max(other):.1%}), linf {went['linf']:.2f}, l2 {went['l2']:.1f}"
        )
    return Shown(holds, "; ".join(said))


def s2_s3(bench: Bench) -> Shown:
    """Of the matrix of five kinds and their vote the tree's column has the largest mean, the net's is among the smallest two of
    the five, and the neighbours' is small (below the mean of all); the distances of every source beside it."""
    models = {kind: learned(bench, kind) for kind in KINDS}
    sets = {kind: attacked(bench, path, ATTACKS[kind], 300, kind) for kind, path in models.items()}
    first, *members = map(str, models.values())
    vote = bench.folder / "vote.safetensors"
    more = [word for one in members for word in ("--member", one)]
    bench.advcli("defend", "--method", "vote", "--model", first, *more, "-o", str(vote))
    cells = matrix(bench, sets, {**models, "vote": vote})
    columns = {target: float(np.mean([cells[source, target]["value"] for source in sets])) for target in (*models, "vote")}
    order = sorted(KINDS, key=lambda kind: columns[kind])
    small = columns["kNN"] < np.mean([columns[kind] for kind in KINDS])
    lines = [
        f"{source}: "
        + ", ".join(f"{target} {cells[source, target]['value']:.1%}" for target in columns)
        + f" (linf {cells[source, source]['linf']:.2f}, l2 {cells[source, source]['l2']:.1f})"
        for source in sets
    ]
    means = ", ".join(f"{target} {columns[target]:.1%}" for target in sorted(columns, key=lambda one: columns[one]))
    holds = order[-1] == "DT" and "DNN" in order[:2] and bool(small)
    return Shown(holds, "; ".join([f"means of the columns: {means}", *lines]))


def changes(made: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which attacked rows were broken, and by row (N, D) the changes and the images before."""
    with ImageSet(made) as opened:
        kept = opened.column("clean_prediction") == opened.column("labels")
        x = opened.rows("images", 0, len(opened)).flatten(1).numpy().astype(np.float64)
        before = opened.pick("originals", opened.column("original")).flatten(1).numpy()
        return opened.column("success")[kept] == 1, (x - before)[kept], before[kept]


def s2_a6(bench: Bench) -> Shown:
    """The attack on a tree breaks every image of its own tree, or says where [0, 1] ends the way, and changes no more pixels
    than the longest path has; that on a linear machine of two classes breaks all, never nearer than |w x + b| / ||w||; a vote
    of neighbours is followed through a smooth one."""
    tree = learned(bench, "DT")
    fallen, moved, _ = changes(attacked(bench, tree, ("tree", "--norm", "l2"), 300, "tree"))
    leaves = structure_of(read(tree).module())
    assert isinstance(leaves, Leaves)
    most, longest = int((moved != 0).sum(1).max()), int(leaves.used.sum(1).max())
    linear = bench.model("mnist", "svm", "--classes", "6,7")
    planes, step, before = changes(attacked(bench, linear, ("svm", "--norm", "l2"), 300, "svm"))
    with torch.no_grad():
        model, flat = read(linear).module(), torch.from_numpy(before).view(-1, 1, 28, 28)
        w = (model.network.weight[1] - model.network.weight[0]).double()
        gap = model(flat).double().diff(dim=1)[:, 0].abs() / w.norm()
    ratio = np.linalg.norm(step, axis=1) / gap.numpy()
    smooth, _, _ = changes(attacked(bench, learned(bench, "kNN"), ("knn", "--eps", "0.2", "--steps", "10"), 100, "knn"))
    said = [
        f"tree: {fallen.sum()} of {len(fallen)}, at most {most} pixels of paths of at most {longest}",
        f"linear machine of 6 and 7: {planes.sum()} of {len(planes)}, {ratio.min():.3f} to {ratio.max():.2f} times the formula "
        f"(median {np.median(ratio):.2f}; black pixels cannot go below 0)",
        f"neighbours at linf 0.2: {smooth.sum()} of {len(smooth)}",
    ]
    holds = fallen.all() and most <= longest and planes.all() and ratio.min() >= 0.999 and smooth.mean() >= 0.5
    return Shown(bool(holds), "; ".join(said))
