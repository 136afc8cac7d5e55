"""What the results of Donoghue, Lines and Pereira's scripts show."""

import statistics
from itertools import pairwise

from papers.results import Line, Results, Seen, seen, shows

Curve = dict[float, float]  # by budget
FIRST = 0.025  # the first budget of Figure 3
SMALL = 0.015  # the last of Figure 5


def curve(results: Results, table: str, model: str, made: str, metric: str = "accuracy") -> Curve:
    """A figure of a model on a set at every budget."""
    found = results.lines(table, kind="adversarial", model=f"{model}.safetensors", set=f"{made}.h5", metric=metric)
    if not found:
        raise LookupError(f"{table}.csv has no {metric} of {model} on {made}.h5")
    return {float(one["epsilon"]): float(one["value"]) for one in found}


def clean(results: Results, table: str, model: str) -> float:
    return results.number(table, "value", kind="clean", model=f"{model}.safetensors", metric="accuracy")


def at(of: Curve, *budgets: float) -> str:
    """A curve in words, at all or some of its budgets."""
    return ", ".join(f"{of[eps]:.1%} at {eps:g}" for eps in budgets or of)


def never_above(lower: Curve, upper: Curve) -> bool:
    return all(value <= upper[eps] + 1e-9 for eps, value in lower.items() if eps in upper)


def falls(of: Curve) -> bool:
    return all(after <= before + 1e-9 for before, after in pairwise(of.values()))


def rises(of: Curve) -> bool:
    return falls({eps: -value for eps, value in of.items()})


@shows("S1-T1", by="train", paper="99.9 % 'on a test set' for both; their code measures it on the training images")
def training(results: Results) -> Seen:
    found = {name: [clean(results, table, name) for table in ("train", "train_seen")] for name in ("wide", "googlenet")}
    said = [f"{name} {test:.1%} of test images, {train:.1%} of training images" for name, (test, train) in found.items()]
    why = "small networks of the same families on CIFAR-10, without published weights"
    return seen(*said, holds=False, direction=found["wide"][0] >= 0.7, why=why)


@shows(
    "S1-F3",
    by="fig3",
    paper="FGSM: 98 % at 0, 42 at .025, 58 at .1 to .15, 22 at .3 (50 images); GoogLeNet -73 at .025, 20 % at .3",
)
def plateau(results: Results) -> Seen:
    one, many = (curve(results, "fig3_table", "wide", f"{how}-of-wide") for how in ("fgsm", "pgd"))
    other = curve(results, "fig3_googlenet", "googlenet", "fgsm-of-googlenet")
    last = max(one)
    drops = one[0] - one[FIRST] >= 0.5 and many[FIRST] <= 0.05 and many[last] == 0
    below = falls(many) and never_above(many, one)
    flat = not falls(one) or one[last] > many[last]
    why = (
        "FGSM goes too far and leaves images that PGD breaks: a plateau is no robustness" if flat else "FGSM has no plateau here"
    )
    said = (f"FGSM {at(one)}", f"PGD {at(many, 0, FIRST, last)}", f"GoogLeNet under FGSM {at(other, 0, FIRST, last)}")
    return seen(*said, holds=drops and below and flat, direction=below, why=why)


@shows("S1-F4", by="fig4", paper="50 pictures under FGSM at .025 with label and confidence")
def contact_sheet(results: Results) -> Seen:
    shown = results.lines("fig4")
    right = sum(one["label"] == one["prediction"] for one in shown)
    counted = int(results.number("fig4_table", "k", kind="adversarial", metric="accuracy"))
    return seen(f"{len(shown)} pictures, {right} read as their class; evaluate counts {counted}", holds=right == counted)


@shows(
    "S1-F1", by="fig1_2_8", paper="original, amplified perturbation and result: FGSM, noise of .3, DGSM of the trained network"
)
def triptychs(results: Results) -> Seen:
    first = {name: results.lines(name)[0] for name in ("fig1", "fig2", "fig8")}
    said = [f"{name} × {float(one['factor']):.3g}, {one['label']} read as {one['prediction']}" for name, one in first.items()]
    stated = all(float(one["factor"]) * float(one["linf"]) <= 0.5 + 1e-6 for one in first.values())
    return seen(*said, holds=stated, why="the factor is in every title; fig8 is at 0.02 as its panel says, not at 0.2")


@shows(
    "S1-F5", by="fig5", paper="12 % (the class itself) to .003, 52 at .007, 96 at .008, 100 from .013; the text's .14 means .014"
)
def directed(results: Results) -> Seen:
    exact, whole = (curve(results, "fig5_table", "wide", made, "target-rate") for made in ("dgsm-of-wide", "whole-levels"))
    won = curve(results, "fig5_table", "wide", "dgsm-of-wide", "success")
    own = results.lines("fig5_table", metric="target-class", set="dgsm-of-wide.h5")[0]
    still = [eps for eps in whole if eps * 255 < 1]
    starts, reaches = all(whole[eps] == whole[0] for eps in still), [eps for eps, share in won.items() if share >= 0.95]
    said = (f"exact {at(exact)}", f"whole grey levels {at(whole)}", f"the class itself {float(own['value']):.1%}",
            f"of the images of other classes that were right before {at(won, max(won))}")  # fmt: skip
    reached = f"at {min(reaches):g}" if reaches else "never"
    why = f"whole grey levels move nothing up to {max(still):g}, the paper's flat start; 95 % of the attacked images {reached}"
    below = starts and rises(won)
    return seen(*said, holds=below and min(reaches, default=1) <= 0.03, direction=below and bool(reaches), why=why)


@shows("S1-F6", by="fig6", paper="94 % at 0, 86 at .025, 70 at .1, 24 at .3; DGSM 'no more than 2 %'; static, DGSM to .015")
def averaging(results: Results) -> Seen:
    made = ("fgsm-of-wide", "fgsm-of-averaged-wide", "pgd-of-averaged-wide")
    static, one, many = (curve(results, "fig6_table", "averaged-wide", name) for name in made)
    hidden, found = (
        curve(results, "fig6_targets", "averaged-wide", f"dgsm-of-{name}", "target-rate-others")
        for name in ("wide", "averaged-wide")
    )
    before = curve(results, "fig3_table", "wide", "fgsm-of-wide")
    hides = static[FIRST] > before[FIRST] and hidden[SMALL] <= found[SMALL]
    breaks = never_above(many, static)
    said = (f"static FGSM {at(static, 0, *one)}", f"through it FGSM {at(one)}", f"PGD {at(many)}",
            f"DGSM static {at(hidden, SMALL)}, through it {at(found)}")  # fmt: skip
    why = f"undefended FGSM {at(before, 0, *one)}: the average hides gradients from attacks that do not go through it"
    return seen(*said, holds=hides and breaks, direction=breaks, why=why)


@shows(
    "S1-T2", by="fig7", paper="91 % clean (GoogLeNet 70) after ten epochs; text: FGSM images, slides: DGSM towards random classes"
)
def recipes(results: Results) -> Seen:
    before = curve(results, "fig7_table", "wide", "pgd-of-wide")
    said, better = [f"before PGD {at(before, FIRST)}"], True
    for name in ("on-fgsm", "on-dgsm"):
        after = curve(results, "fig7_table", name, f"pgd-of-{name}")
        better &= after[FIRST] > before[FIRST]
        said.append(f"{name} clean {clean(results, 'fig7_table', name):.1%}, PGD {at(after, FIRST, 0.1)}")
    return seen(*said, holds=better, why="both recipes are there; the budget of the training is not in the paper, here 8/255")


@shows("S1-F7", by="fig7", paper="94 % at 0, 78 at .025, 32 at .1, 16 at .3; 'improved', but below Figure 3 from .075 on")
def adversarially_trained(results: Results) -> Seen:
    before, after = (curve(results, "fig7_table", one, f"fgsm-of-{one}") for one in ("wide", "on-fgsm"))
    each = "fgsm-of-on-fgsm.h5 / fgsm-of-wide.h5"
    pairs = results.lines("fig7_table", metric="difference", model="on-fgsm.safetensors", attack="fgsm", set=each)
    if not pairs:
        raise LookupError("fig7_table.csv does not compare the networks, each under its own FGSM")
    finding = {float(one["epsilon"]): one["finding"] for one in pairs}
    targets = curve(results, "fig7_targets", "on-fgsm", "dgsm-of-on-fgsm", "target-rate-others")
    said = (f"FGSM {at(after)}", f"undefended {at(before)}", f"DGSM reaches {at(targets, SMALL, max(targets))}")
    why = f"trained against undefended (McNemar, Holm): {', '.join(f'{eps:g} {word}' for eps, word in finding.items())}"
    return seen(*said, holds=finding[FIRST] == "better", direction=after[FIRST] > before[FIRST], why=why)


@shows("S1-K1", by="summary", paper="'did not attempt to apply both at once'")
def both(results: Results) -> Seen:
    said, under = [], Curve()
    for place, name in enumerate(("wide", "averaged-wide", "on-fgsm", "averaged-on-fgsm")):
        table = f"summary_{name}"
        one, many, aimed = (curve(results, table, name, f"{how}-of-{name}") for how in ("fgsm", "pgd", "dgsm"))
        under[place] = many[FIRST]
        said.append(
            f"{name} clean {clean(results, table, name):.1%}, FGSM {at(one, FIRST, 0.1, 0.3)}, DGSM {at(aimed, SMALL)}, "
            f"PGD {at(many, FIRST)}"
        )
    why = f"under PGD through both, the average adds {100 * (under[3] - under[2]):+.1f} points to adversarial training"
    return seen(*said, holds=True, why=why)


@shows("S1-K2", by="eps_max", paper="eps_max .3 for all; too much 'can lead to inaccurate classification'")
def size(results: Results) -> Seen:
    tested, chosen = _sizes(results, "test"), _sizes(results, "val")
    best = max(chosen, key=lambda one: sum(chosen[one]))
    said = [f"{one}: clean {plain:.1%}, FGSM through it {under:.1%}" for one, (plain, under) in chosen.items()]
    plain, under = tested[best]
    why = f"{best} is chosen on these validation images; on test images clean {plain:.1%}, FGSM through it {under:.1%}"
    return seen(*said, holds=chosen[max(chosen, key=float)][0] < chosen[min(chosen, key=float)][0], direction=True, why=why)


def _sizes(results: Results, split: str) -> dict[str, tuple[float, float]]:
    """The accuracy of every size on clean images, and under FGSM through itself."""
    table, found = f"eps_max_{split}", {}
    for one in results.lines(table, kind="clean", metric="accuracy"):
        name = one["model"].removeprefix("size-").removesuffix(".safetensors")
        own = results.number(table, "value", model=one["model"], metric="accuracy", set=f"{split}-of-{name}.h5")
        found[name] = float(one["value"]), own
    return found


@shows("S1-K3", by="landscape", paper="plots of flat minima in the notebooks: a speculation")
def flatness(results: Results) -> Seen:
    before, after = (
        {one["index"]: float(one["highest"]) - float(one["lowest"]) for one in results.lines(f"landscape_{name}", of="image")}
        for name in ("wide", "trained")
    )
    share = statistics.mean(after[index] < before[index] for index in before)
    medians = [statistics.median(one.values()) for one in (before, after)]
    said = f"the loss varies less in {share:.0%} of {len(before)} images after training"
    return seen(said, f"median range {medians[0]:.2f} before, {medians[1]:.2f} after", holds=share >= 0.7, direction=share > 0.5)


@shows("S1-K4", by="structure", paper="the perturbation of the trained network 'captures important image features' (one picture)")
def features(results: Results) -> Seen:
    found = {name: results.lines("structure", of="edges", set=f"small-of-{name}.h5") for name in ("wide", "on-fgsm")}
    if not all(found.values()):
        raise LookupError("structure.csv has no correlation with edges of one of the sets")
    before, after = (lines[0] for lines in found.values())
    apart = bool(after["low"] and before["high"]) and float(after["low"]) > float(before["high"])
    said = [f"{name} {_interval(lines[0])} of {lines[0]['n']} images" for name, lines in found.items()]
    why = "correlation of the size of the perturbation with the edges of the original"
    return seen(*said, holds=apart, direction=float(after["mean"]) > float(before["mean"]), why=why)


def _interval(line: Line) -> str:
    span = f" ({float(line['low']):+.3f} to {float(line['high']):+.3f})" if line["low"] else ""
    return f"{float(line['mean']):+.3f}{span}"


@shows("S1-K5", by="linearity", paper="w(x + n) = w x + w n: why small changes add up")
def linear(results: Results) -> Seen:
    last = max(results.lines("linearity", of="mean"), key=lambda one: float(one["step"]))
    r2, ratio = float(last["r2"]), float(last["ratio"])
    said = f"R² of straight lines through the logits {r2:.3f} (median) up to {float(last['step']):g}"
    loss = f"the loss rises {ratio:.2f} times what its gradient says"
    return seen(said, loss, holds=r2 > 0.95, direction=r2 > 0.8)
