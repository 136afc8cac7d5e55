"""What recipes of adversarial training reach on MNIST with the small cnn at linf 0.3, and the seconds that they take.

    python -m benchmarks.robust_training [--limit N] [--images 500] [--only NAME ...]       MNIST where ADVCLI_DATA says

Every recipe is trained in this process, one after the other, and attacked by `pgd` (40 steps) and by `autoattack` on the same
first test images. Models, sets and what was found are kept in --folder, so that a run that was stopped goes on; the table is
written to benchmarks/robust_training.md. Seconds are those of the training steps, without validation.
"""

import argparse
import contextlib
import io
import json
import sys
from pathlib import Path

import torch

from advcli import __version__
from advcli.cli.app import main
from advcli.numerics.intervals import exact_interval

PGD = ["--against", "pgd:eps=0.3,steps=10", "--warmup", "1"]
RECIPES = {
    "PGD": ["--recipe", "adversarial", *PGD, "--alpha", "0", "--epochs", "5"],
    "TRADES": ["--recipe", "trades", "--eps", "0.3", "--steps", "10", "--epochs", "5"],
    "MART": ["--recipe", "mart", *PGD, "--epochs", "5"],
    "AWP": ["--recipe", "adversarial", *PGD, "--alpha", "0", "--awp", "0.005", "--epochs", "5"],
    "free": ["--recipe", "free", "--eps", "0.3", "--replays", "8", "--epochs", "2"],
}
ATTACKS = {"pgd": ["--steps", "40"], "autoattack": []}
WRITTEN = Path(__file__).with_suffix(".md")


def advcli(*words: str) -> str:
    """What a command prints; it must succeed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(list(words))
    if code:
        raise SystemExit(f"advcli {' '.join(words)}: exit {code}")
    return printed.getvalue()


def accuracy(model: Path, *what: str) -> tuple[int, int]:
    """(correct, total) of a model on the images that `what` names."""
    table = advcli("evaluate", "--model", str(model), *what, "--metric", "accuracy", "--json")
    row = json.loads(table)["rows"][-1]
    return row["k"], row["n"]


def measured(name: str, given: argparse.Namespace) -> dict[str, object]:
    """One recipe: trained, and attacked."""
    model = given.folder / f"{name}.safetensors"
    some = ["--limit", str(given.limit)] if given.limit else []
    advcli("train", "--data", "mnist", "--arch", "cnn", *RECIPES[name], *some, "-o", str(model))
    log = [json.loads(line) for line in model.with_suffix(".log.jsonl").read_text().splitlines()]
    found: dict[str, object] = {"seconds": sum(line["seconds"] for line in log), "clean": accuracy(model, "--data", "mnist:test")}
    for method, options in ATTACKS.items():
        made = str(given.folder / f"{name}-{method}.h5")
        words = ["--eps", "0.3", "--limit", str(given.images), *options, "--no-perturbations", "-o", made]
        advcli("attack", "--method", method, "--model", str(model), *words)
        found[method] = accuracy(model, made)
    return found


def share(found: tuple[int, int]) -> str:
    """The share of correct images, and its 95 % interval."""
    k, n = found
    low, high = exact_interval(k, n)
    return f"{k / n:.1%} ({low:.1%} to {high:.1%})"


def table(kept: dict[str, dict[str, object]]) -> str:
    lines = ["| recipe | command | clean | pgd | autoattack | seconds |", "|---|---|---|---|---|---|"]
    for name, found in kept.items():
        shares = " | ".join(share(found[one]) for one in ("clean", *ATTACKS))  # type: ignore[arg-type]  # JSON knows no tuples
        lines.append(f"| {name} | `{' '.join(RECIPES[name])}` | {shares} | {found['seconds']:.0f} |")
    return "\n".join(lines)


def page(kept: dict[str, dict[str, object]], images: int) -> str:
    threads = torch.get_num_threads()
    return f"""# Recipes of adversarial training

Written by `python -m benchmarks.robust_training`: the small cnn on MNIST, linf 0.3; `pgd` with 40 steps and `autoattack` on
{images} test images, clean accuracy on all, with 95 % intervals. Seconds are those of the training steps. advcli {__version__},
torch {torch.__version__}, {threads} thread{"s" * (threads > 1)}.

{table(kept)}
"""


def run() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("robust-training"))
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--images", type=int, default=500, help="test images to attack")
    parser.add_argument("--limit", type=int, help="train on so many images only: to try this script; nothing is written")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    memory = given.folder / "found.json"
    kept = json.loads(memory.read_text()) if memory.exists() else {}
    for name in given.only:
        if name not in kept:
            kept[name] = measured(name, given)
            memory.write_text(json.dumps(kept, indent=1) + "\n")
            print(f"{name}: {kept[name]}", flush=True)
    kept = {name: kept[name] for name in RECIPES if name in kept}
    print(table(kept))
    if not given.limit:
        WRITTEN.write_text(page(kept, given.images))
    return 0


if __name__ == "__main__":
    sys.exit(run())
