"""How far adversarial images of one network of MNIST fool another one, by the method that made them."""

from pathlib import Path

import torch

from advcli.files.imageset_reader import ImageSet
from advcli.networks.model_file import read
from benchmarks.rows.bench import UNDEFENDED, Bench, Shown

METHODS = {
    "fgsm": ("fgsm",),
    "mim": (
        "mim",
        "--no-early-stop",
    ),
    "nesterov": ("mim", "--no-early-stop", "--nesterov"),
    "diversity": ("mim", "--no-early-stop", "--diversity", "0.5"),
    "translation": ("mim", "--no-early-stop", "--translation", "2"),
    "scales": ("mim", "--no-early-stop", "--scales", "5"),
    "all four": ("mim", "--no-early-stop", "--nesterov", "--diversity", "0.5", "--translation", "2", "--scales", "5"),
}


def s0_k1(bench: Bench) -> Shown:
    """FGSM at eps 0.3 from a cnn misleads an independent network of another architecture on at least 30 %; minimal examples
    along the raw gradient transfer far less. The options of mim stand beside them."""
    other, found = bench.model("mnist", "mlp"), {}
    source = ("--data", "mnist", "--model", str(UNDEFENDED), "--limit", "300", "--no-perturbations", "--force", "-o", "made.h5")
    for name, words in METHODS.items():
        bench.advcli(
            "attack", "--method", *words, "--eps", "0.3", "--no-early-stop" if words[0] == "mim" else "--seed=0", *source
        )
        found[name] = misled(bench, other)
    bench.advcli("attack", "--method", "grad", "--target", "random", *source)
    found["raw gradient, minimal"] = misled(bench, other)
    holds = found["fgsm"] >= 0.3 and found["raw gradient, minimal"] < found["fgsm"] / 2
    return Shown(holds, "misled " + ", ".join(f"{value:.1%} {name}" for name, value in found.items()))


def misled(bench: Bench, model: Path) -> float:
    """The share of the images that another model has wrong."""
    with ImageSet(bench.folder / "made.h5") as opened, torch.no_grad():
        decided = read(model).module()(opened.rows("images", 0, len(opened))).argmax(1).numpy()
        return float((decided != opened.column("labels")).mean())
