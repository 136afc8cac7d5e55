"""The six models of paper 4, their table, and the model that decides by all of them."""

import json
from itertools import product
from pathlib import Path

import torch

from advcli.images.dataset import Dataset
from advcli.networks.model_file import ModelFile, read
from advcli.workspace import inputs
from benchmarks.rows.bench import Bench, Shown
from benchmarks.rows.training import PREPARED, basic, clean, defended_black_box, fgsm_trained, rows, under

SOME = "200"  # images of the table
ATTACKS = {
    "FGSM": ("fgsm", "--eps", "0.3"),
    "PGD-40": ("pgd", "--steps", "40", "--eps", "0.3"),
    "spatial": ("spatial",),
    "JSMA": ("jsma", "--theta", "1", "--gamma", "0.1", "--target", "other"),
}
SEEN_THROUGH = {"none": (), "gaussian": ("gaussian", "--sigma", "2"), "squeeze": ("squeeze", "--bits", "1")}


def six(bench: Bench) -> dict[str, Path]:
    """The six models of Table VI: three filters, FGSM training and training again on black-box images."""
    found = {f"{name}, FGSM": fgsm_trained(bench, *words) for name, words in PREPARED.items()}
    for name, words in PREPARED.items():
        made = defended_black_box(bench, basic(bench, *words), *words)
        found[f"{name}, black box"] = made.rename(bench.folder / f"{name}-black-box.safetensors")
    return found


def own_filters(model: Path) -> list[tuple[str, object]]:
    """The filters inside a model file, with the parameter that says how strong they are."""
    strength = {"gaussian": "sigma", "squeeze": "bits"}
    return [(one["name"], one["parameters"].get(strength.get(one["name"], ""))) for one in read(model).metadata["defenses"]]


INSIDE: dict[str, list[tuple[str, object]]] = {"none": [], "gaussian": [("gaussian", 2.0)], "squeeze": [("squeeze", 1)]}


def column(bench: Bench, model: Path) -> dict[tuple[str, str], dict[str, object]]:
    """Of one model: the accuracy behind each filter of the test images, clean and on what was made against the model itself."""
    behind = {}
    for name, words in SEEN_THROUGH.items():
        behind[name] = model
        if words:
            behind[name] = bench.folder / f"seen-through-{name}.safetensors"
            bench.advcli("defend", "--model", str(model), "--method", *words, "-o", str(behind[name]), "--force")
    sets = {}
    for name, words in ATTACKS.items():
        sets[name] = str(bench.folder / f"{name}.h5")
        how = ["--limit", SOME, "--no-perturbations", "-o", sets[name], "--force"]
        bench.advcli("attack", "--model", str(model), "--method", *words, *how)
    found = {}
    for attack, what in {"clean": ("--data", "mnist:test"), **{name: (path,) for name, path in sets.items()}}.items():
        for row in rows(bench, behind.values(), *what):
            filtered = next(name for name, path in behind.items() if str(path) == row["model"])
            found[filtered, attack] = row
    return found


def s4_t5(bench: Bench) -> Shown:
    """Six checkpoints, each with its own filter inside and no other; the table of every model behind every filter of the test
    images, clean and under FGSM, PGD-40, spatial and JSMA, with the number of images of each cell."""
    models, said = six(bench), []
    holds = len({read(path).digest for path in models.values()}) == 6
    for name, model in models.items():
        holds &= own_filters(model) == INSIDE[name.split(",")[0]]
        cells = column(bench, model)
        holds &= {*cells} == {*product(SEEN_THROUGH, ("clean", *ATTACKS))}
        holds &= all(int(str(row["n"])) > 0 and row["low"] is not None for row in cells.values())
        lines = [
            f"seen through {filtered} "
            + ", ".join(f"{attack} {cells[filtered, attack]['value']:.1%}" for attack in ("clean", *ATTACKS))
            for filtered in SEEN_THROUGH
        ]
        said.append(f"{name}: {' | '.join(lines)}")
    return Shown(holds, "; ".join(said))


def stacked(bench: Bench, models: list[Path], method: str, name: str, *words: str) -> Path:
    """Models behind one decision."""
    first, *others = models
    made = bench.folder / f"{name}.safetensors"
    members = [word for one in others for word in ("--member", str(one))]
    bench.advcli("defend", "--method", method, "--model", str(first), *members, *words, "-o", str(made))
    return made


def both(bench: Bench, model: Path) -> tuple[float, float]:
    """Accuracy on clean images, and under PGD-20 through the whole at 0.3."""
    return clean(bench, model), under(bench, model, "pgd", "--steps", "20", eps="0.3", limit=200)


def reaches_every_pixel(model: ModelFile, data: Dataset) -> bool:
    """Whether the stack's own loss has a gradient with respect to the image, through all of the six models."""
    module, (x, label) = model.module(), data.batch(0, 16)
    point = x.requires_grad_()
    (slope,) = torch.autograd.grad(torch.nn.functional.cross_entropy(module(point, None), label), point)
    return bool((slope.flatten(1).abs().amax(1) > 0).all())


FAMILIES = {"fgsm": "fgsm:eps=0.3", "spatial": "", "jsma": "", "substitute": ""}  # how --against spells each, if it can
FIT = ("--limit", "1000", *(word for one in FAMILIES.values() if one for word in ("--against", one)))
EPOCHS = {"usual": ("--epochs", "6"), "paper4": ()}  # the paper has its own
SEEDS = range(3)


def s4_d3(bench: Bench) -> Shown:
    """One image goes through six models and the stack to a label, differentiable end to end; the stack is fitted on clean images
    of the training split and on every family of attacks (FGSM, spatial, JSMA, black box); it stands beside the majority vote, the
    mean logit, the best single model and the stack of any five; mean and spread over three seeds, usual weights by default."""
    models = six(bench)
    single = {name: both(bench, one) for name, one in models.items()}
    best = max(single, key=lambda name: single[name][1])
    found = {"majority vote": [both(bench, stacked(bench, list(models.values()), "vote", "vote"))]}
    found["mean logit"] = [both(bench, stacked(bench, list(models.values()), "vote", "mean", "--rule", "mean-logit"))]
    for left in models:
        five = [one for name, one in models.items() if name != left]
        made = stacked(bench, five, "stack", f"five{len(found)}", *FIT, *EPOCHS["usual"])
        found[f"without {left}"] = [both(bench, made)]
    whole = []
    for recipe, seed in product(EPOCHS, SEEDS):
        words = (*FIT, *EPOCHS[recipe], *(("--recipe", recipe) if recipe != "usual" else ()), "--seed", str(seed))
        whole.append(stacked(bench, list(models.values()), "stack", f"{recipe}{seed}", *words))
        found.setdefault(recipe, []).append(both(bench, whole[-1]))
    said = [f"best single ({best}): {single[best][0]:.1%}, under PGD-20 {single[best][1]:.1%}"]
    for name, seeds in found.items():
        spans = [
            f"{sum(one) / len(one):.1%}{f' ({min(one):.1%} to {max(one):.1%})' * (len(one) > 1)}"
            for one in zip(*seeds, strict=True)
        ]
        said.append(f"{name}: {spans[0]}, under PGD-20 {spans[1]}")
    data = inputs.open_data("mnist", "test", known=("6", "7"))
    flows = all(reaches_every_pixel(read(one), data) for one in whole)
    recipes = [read(one).metadata["defenses"][-1]["parameters"]["recipe"] for one in whole]
    by_default = recipes[: len(SEEDS)] == ["usual"] * len(SEEDS)
    missing = missing_families(whole[0])
    said.append(f"gradients {'reach' if flows else 'do not reach'} the image; fitted on all families but {missing or 'none'}")
    return Shown(flows and by_default and not missing and min(one[0] for one in found["usual"]) >= 0.98, "; ".join(said))


def missing_families(model: Path) -> str:
    """The families of attacks that a stack was not fitted on, by its header."""
    seen = json.dumps(read(model).metadata["made"])
    return ", ".join(name for name, text in FAMILIES.items() if not text or f'"{name}:' not in seen)
