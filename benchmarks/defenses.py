"""Every defense on MNIST: clean, against a static attack, an adaptive one, and the best black box; writes defenses.md.

One cell at a time: each figure is kept as a line of results/defenses.jsonl and not measured again. The figures are
those of `advcli evaluate`; this script only runs commands.

    python benchmarks/defenses.py [--only NAME] [--write]
"""

import argparse
import contextlib
import io
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

from advcli import __version__
from advcli.catalog import discovery
from advcli.catalog.requests import EvaluateRequest
from advcli.cli.app import main
from advcli.evaluation.judge import Facts, Judge
from advcli.evaluation.sets import from_file
from advcli.files.imageset_reader import ImageSet
from advcli.metrics.success import turned
from advcli.networks import model_file
from advcli.numerics.intervals import CONFIDENCE
from advcli.numerics.paired_tests import holm, mcnemar
from advcli.runtime.reporter import SILENT

HERE = Path(__file__).parent
MODEL = HERE / "models" / "mnist-cnn.safetensors"
KEPT = HERE / "results" / "defenses.jsonl"
TABLE = HERE / "defenses.md"
EPS, SEEN, BLACK = "0.1", 1000, 200
SHOWN = ("accuracy", "success")
PAIRS = "static and adaptive"
STEPS, QUERIES = 40, 1000
FULL = ["--eps", EPS, "--no-early-stop", "--steps", str(STEPS)]
# What a defense is given where its defaults would not do on this data.
GIVEN: dict[str, list[str]] = {
    "average": ["--samples", "10"],
    "autoencoder": ["--against", "fgsm:eps=0.2", "--limit", "20000", "--epochs", "3"],
    "detector": ["--against", "fgsm:eps=0.1", "--limit", "20000", "--epochs", "3"],
    "dropout-detector": ["--passes", "10"],
    "dropout-vote": ["--passes", "10"],
    "magnet": ["--limit", "10000", "--epochs", "5", "--fpr", "0.01"],
    "smoothing": ["--samples", "10"],
    "stack": ["--member", "gaussian.safetensors", "--member", "squeeze.safetensors", "--against", "fgsm:eps=0.1",
              "--limit", "20000", "--epochs", "3"],
    "vote": ["--member", "gaussian.safetensors", "--member", "squeeze.safetensors"],
}  # fmt: skip
DRAWN = ["--eot", "4"]  # beside each gradient of a defense that draws


def advcli(*words: str) -> str:
    """What a command prints; it must succeed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main([*words, "--quiet"] if words[0] != "evaluate" else list(words))
    if code:
        raise SystemExit(f"advcli {' '.join(words)} ended with {code}")
    return out.getvalue()


def figures(model: str, *sets: str) -> dict[str, Any]:
    """Accuracy and the attack's success with counts and intervals, and what the attacker knew, of one model on one set."""
    words = ["--metric", "accuracy", "--metric", "success", "--json", *sets]
    rows = {row["metric"]: row for row in json.loads(advcli("evaluate", "--model", model, *words))["rows"]}
    kept = {name: {key: row[key] for key in ("value", "k", "n", "low", "high")} for name, row in rows.items() if name in SHOWN}
    return {**kept, "spread": rows["accuracy"].get("spread"), "knowledge": rows["accuracy"]["threat"]["knowledge"]}


def fooled(model: str, path: str) -> dict[int, bool]:
    """Which images of a set turn a model, by their place in the source; one budget, one row an image."""
    asked = EvaluateRequest()
    judge = Judge(model_file.read(model), asked)
    with ImageSet(path) as opened:
        (seen,) = judge.see(from_file(opened, path), set(), Facts([judge.file], asked), SILENT)
    known = seen.rounds[0].known()
    return dict(zip(known.image.tolist(), turned(known)[0].tolist(), strict=True))


def paired(static: dict[int, bool], adaptive: dict[int, bool]) -> dict[str, Any]:
    """The two attacks on the same images: b are fooled by the static examples only, c by the adaptive ones only."""
    shared = static.keys() & adaptive.keys()
    b = sum(static[one] and not adaptive[one] for one in shared)
    c = sum(adaptive[one] and not static[one] for one in shared)
    return {"b": b, "c": c, "n": len(shared), "p": mcnemar(b, c)}


def weaker(kept: dict[str, dict[str, Any]], names: list[str]) -> list[str]:
    """Defenses on which the adaptive attack fools fewer images than the static one: McNemar's test, raised after Holm."""
    pairs = {name: kept[f"{name}/{PAIRS}"] for name in names if f"{name}/{PAIRS}" in kept}
    raised = holm([one["p"] for one in pairs.values()])
    return [name for (name, one), p in zip(pairs.items(), raised, strict=True) if p < 1 - CONFIDENCE and one["b"] > one["c"]]


def defended(name: str) -> str:
    """The model behind one defense, made once; those that others stand on first."""
    path = f"{name}.safetensors"
    if not Path(path).exists():
        for word in GIVEN.get(name, []):
            if word.endswith(".safetensors") and not Path(word).exists():
                defended(word.removesuffix(".safetensors"))
        advcli("defend", "--method", name, "--model", str(MODEL), *GIVEN.get(name, []), "-o", path)
    return path


def measure(name: str, kept: dict[str, dict[str, Any]]) -> None:
    """The four figures of a defense; those that are kept are not taken again."""
    model = str(MODEL) if name == "none" else defended(name)
    draws = DRAWN if name != "none" and discovery.spec("defense", name).traits.random else []
    data = ["--data", "mnist:test"]
    if not Path("static.h5").exists():
        advcli("attack", "--model", str(MODEL), *data, "--limit", str(SEEN), "--method", "pgd", *FULL, "-o", "static.h5")
    ways = {
        "clean": lambda: ["--data", "mnist:test", "--limit", str(SEEN)],
        "static": lambda: ["static.h5"],
        "adaptive": lambda: [made(name, "pgd", model, [*data, "--limit", str(SEEN), *FULL, *draws])],
        "black box": lambda: [
            made(name, "square", model, [*data, "--limit", str(BLACK), "--eps", EPS, "--max-queries", str(QUERIES)])
        ],
    }
    for way, sets in ways.items():
        key = f"{name}/{way}"
        if key not in kept and (way != "black box" or "square" in discovery.names("attack")):
            begin = time.process_time()
            kept[key] = {"cell": key, **figures(model, *sets()), "cpu_seconds": round(time.process_time() - begin, 1)}
            keep(kept[key])
    if (key := f"{name}/{PAIRS}") not in kept and name != "none" and Path(f"{name}-pgd.h5").exists():
        kept[key] = {"cell": key, **paired(fooled(model, "static.h5"), fooled(model, f"{name}-pgd.h5"))}
        keep(kept[key])


def keep(found: dict[str, Any]) -> None:
    """Write one cell down, with what it was measured on."""
    found["on"] = f"advcli {__version__}, torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} cores"
    with KEPT.open("a") as file:
        file.write(json.dumps(found) + "\n")
    print(found, file=sys.stderr)


def made(name: str, method: str, model: str, words: list[str]) -> str:
    path = f"{name}-{method}.h5"
    advcli("attack", "--model", model, "--method", method, *words, "--no-perturbations", "-o", path)
    return path


def cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    right, fooled = found["accuracy"], found.get("success")
    text = f"{100 * right['value']:.1f} ({100 * right['low']:.1f} to {100 * right['high']:.1f})"
    return text + (f", fooled {100 * fooled['value']:.1f}" if fooled else "")


def written(kept: dict[str, dict[str, Any]]) -> str:
    """The table, from the kept figures alone."""
    names = ["none", *discovery.names("defense")]
    lines = [
        "# Every defense on MNIST", "",
        f"Accuracy in per cent with its exact 95 % interval: {SEEN} test images, linf {EPS}. Static and adaptive are pgd with",
        f"{STEPS} steps at full strength, made against the plain model and through the defense; the black box is `square` with",
        f"{QUERIES} queries through the defense on the first {BLACK} images (early-stopped: its verdict is all that counts).",
        "A rejected image does not count as correct, and a rejected attack not as a success: `fooled` is the share of initially",
        "correct images that are now misclassified and accepted. Made by `python benchmarks/defenses.py`; each defense has its",
        "defaults, except for the options in the last column.", "",
        "| defense | clean | static | adaptive | black box | |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name in names:
        each = [kept.get(f"{name}/{way}") for way in ("clean", "static", "adaptive", "black box")]
        if any(each):
            words = " ".join(GIVEN.get(name, []))
            lines.append(f"| {name} | {' | '.join(map(cell, each))} | {f'`{words}`' if words else ''} |")
    untested = [name for name in names[1:] if f"{name}/adaptive" in kept and f"{name}/{PAIRS}" not in kept]
    told = (
        f"Adaptive weaker than static (McNemar's test on the same images, Holm): {', '.join(weaker(kept, names)) or 'nowhere'}."
    )
    tested = any(f"{name}/{PAIRS}" in kept for name in names)
    lines += ["", *[told] * tested, *([f"Not tested by pairs yet: {', '.join(untested)}."] if untested else []), ""]
    lines += [f"Measured with {on}." for on in dict.fromkeys(one["on"] for one in kept.values())]
    lines += [""]
    return "\n".join(lines)


def run() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", action="append", help="a defense; may be repeated")
    parser.add_argument("--work", default="build/defenses", help="where models and sets are kept")
    parser.add_argument("--write", action="store_true", help="only write the table from the kept figures")
    given = parser.parse_args()
    KEPT.parent.mkdir(exist_ok=True)
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    kept = {one["cell"]: one for one in map(json.loads, lines) if "accuracy" in one or "p" in one}
    if not given.write:
        Path(given.work).mkdir(parents=True, exist_ok=True)
        os.chdir(given.work)
        for name in given.only or ["none", *discovery.names("defense")]:
            measure(name, kept)
    TABLE.write_text(written(kept))


if __name__ == "__main__":
    run()
