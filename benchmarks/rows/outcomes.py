"""What became of attacked images: classified as the target, kinds of mistakes, mended by transforms, and models compared."""

import json
from pathlib import Path

from benchmarks.rows.bench import Bench, Shown
from benchmarks.rows.integrated import EPOCHS, FIT, six, stacked

PHOTOS = str(Path(__file__).parent.parent / "models" / "cifar10-resnet18.safetensors")
ON_PHOTOS = ("--model", PHOTOS, "--data", "cifar10:test", "--no-perturbations")


BUDGETS = "0,0.001,0.002,0.003,0.004,0.008,0.015"


def rows(bench: Bench, *words: str) -> list[dict[str, float]]:
    found: list[dict[str, float]] = json.loads(bench.advcli("evaluate", *words, "--json"))["rows"]
    return found


def s1_f5(bench: Bench) -> Shown:
    """Towards one class, budgets below one grey level leave the rate at its base where steps are cut to whole levels, and move
    it where they are not."""
    words = ("--method", "dgsm", "--target", "dog", "--eps", BUDGETS, "--limit", "50", *ON_PHOTOS)
    curves = {}
    for name, how in {"cut": ("--quantize", "--rounding", "trunc"), "whole": ()}.items():
        bench.advcli("attack", *words, *how, "-o", f"{name}.h5")
        curves[name] = rows(bench, "--model", PHOTOS, f"{name}.h5", "--metric", "target-rate")
    rates = {name: [row["value"] for row in found if row["metric"] == "target-rate"] for name, found in curves.items()}
    others = {name: [row["value"] for row in found if row["metric"] == "target-rate-others"] for name, found in curves.items()}
    base = next(row["value"] for row in curves["cut"] if row["metric"] == "target-class")
    flat = len(set(rates["cut"][:4])) == 1
    said = [f"{name} {', '.join(f'{rates[name][k]:.1%}' for k in range(7))}" for name in rates]
    said += [f"of other classes at 0.015 {others['cut'][-1]:.1%} and {others['whole'][-1]:.1%}"]
    return Shown(
        flat and rates["whole"][3] > rates["whole"][0], f"dogs {base:.1%} of 50 images; at eps {BUDGETS}: {'; '.join(said)}"
    )


def s2_s1(bench: Bench) -> Shown:
    """The kinds are exclusive and add up to n; of what FGSM breaks, more stays an animal or a vehicle than by chance."""
    bench.advcli("attack", "--method", "fgsm", "--eps", "8/255", "--limit", "1000", *ON_PHOTOS, "-o", "fgsm.h5")
    found = rows(bench, "--model", PHOTOS, "fgsm.h5", "--metric", "categories")
    kinds = {str(row["category"]): row for row in found if row["metric"] == "category"}
    (alike,) = (row for row in found if row["metric"] == "alike")
    whole = sum(row["k"] for row in kinds.values()) == 1000
    said = ", ".join(f"{name} {row['value']:.1%}" for name, row in kinds.items())
    share = f"alike {alike['value']:.1%} ({alike['low']:.1%} to {alike['high']:.1%}), by chance {alike['by_chance']:.1%}"
    return Shown(whole and alike["value"] > alike["by_chance"], f"{said}; {share}")


CHANGES = {"blur": "1", "quality": "50", "brightness": "10/255", "contrast": "1.1"}


def s2_s4(bench: Bench) -> Shown:
    """On CIFAR-10 at 16/255 blur and JPEG destroy FGSM no more often than BIM, and BIM no more often than ILLC; brightness and
    contrast destroy least."""
    rates: dict[str, list[float]] = {change: [] for change in CHANGES}
    said = []
    for method in ("fgsm", "bim", "illc"):
        how = ("--eps", "16/255", "--limit", "100", *(() if method == "fgsm" else ("--no-early-stop",)))
        bench.advcli("attack", "--method", method, *how, *ON_PHOTOS, "-o", f"{method}.h5")
        each = []
        for change, value in CHANGES.items():
            name = f"{method}-{change}.h5"
            bench.advcli("defend", "--method", "transform", f"--{change}", value, f"{method}.h5", "-o", name)
            found = rows(bench, "--model", PHOTOS, name, "--metric", "destruction", "--top", "1")
            (one,) = (row for row in found if row["metric"] == "destruction")
            rates[change].append(one["value"])
            each.append(f"{change} {one['value']:.1%} ({one['low']:.1%} to {one['high']:.1%})")
        said.append(f"{method}: {', '.join(each)}")
    ordered = all(rates[change] == sorted(rates[change]) for change in ("blur", "quality"))
    least = all(max(rates["brightness"][k], rates["contrast"][k]) <= min(rates["blur"][k], rates["quality"][k]) for k in range(3))
    said += [f"order by attack {'as asked' if ordered else 'another'}, least {'as asked' if least else 'another'}"]
    return Shown(ordered and least, "; ".join(said))


def s4_k1(bench: Bench) -> Shown:
    """The stack of six models is not shown better than the best of the six under any attack that was made against each."""
    single = six(bench)
    stack = stacked(bench, list(single.values()), "stack", "stack", *FIT, *EPOCHS["usual"])
    models, sets = [stack, *single.values()], []
    for number, model in enumerate(models):
        for method, words in {"fgsm": (), "pgd": ("--steps", "20", "--no-early-stop")}.items():
            made = f"{method}-{number}.h5"
            how = ("--data", "mnist:test", "--classes", "6,7", "--eps", "0.3", "--limit", "200", "--no-perturbations")
            bench.advcli("attack", "--model", str(model), "--method", method, *words, *how, "-o", made)
            sets.append(made)
    given = [word for one in models for word in ("--model", str(one))]
    pairs = [row for row in rows(bench, *sets, *given, "--compare") if row["metric"] == "difference" and row["best"]]
    own = [row for row in pairs if " / " in str(row["set"]) or row["kind"] == "worst case"]
    said = [
        f"{row['threat']['attack']}: {row['value']:+.1%} ({row['low']:+.1%} to {row['high']:+.1%}), p {row['p']:.2g}, "
        f"of all tests {row['p_holm']:.2g}, {row['finding']}"
        for row in own
    ]
    return Shown(
        bool(own) and not any(row["finding"] == "worse" for row in own), f"best of six against the stack: {'; '.join(said)}"
    )
