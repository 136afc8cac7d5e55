"""Two sets of images against each other: the maximum mean discrepancy of clean and attacked images."""

import csv
from pathlib import Path

from scipy.stats import kstest

from benchmarks.rows.bench import UNDEFENDED, Bench, Shown

SEEDS = 20
IMAGES = "210"  # of which at least 200 are attacked, half of them for each sample


def s0_k2(bench: Bench) -> Shown:
    """MMD^2 of two clean halves near 0 with p uniform over 20 divisions; p < 0.01 for FGSM 0.1, 100 images against 100."""
    for method, eps in (("noise", "0"), ("fgsm", "0.1")):
        words = ["--model", str(UNDEFENDED), "--data", "mnist", "--limit", IMAGES, "-o", str(bench.folder / f"{method}.h5")]
        bench.advcli("attack", "--method", method, "--eps", eps, *words)
    clean = [discrepancy(bench, "noise.h5", seed) for seed in range(SEEDS)]
    moved = discrepancy(bench, "fgsm.h5", 0)
    values, chances = [value for value, _, _ in clean], [p for _, p, _ in clean]
    uniform, mean = float(kstest(chances, "uniform").pvalue), sum(values) / SEEDS
    halves = f"mean MMD^2 {mean:.2g}, p from {min(chances):.2f} to {max(chances):.2f} (uniform: p {uniform:.2f})"
    return Shown(
        holds=uniform > 0.01 and abs(mean) < 0.001 and moved[1] < 0.01,
        figures=f"clean halves: {halves}; FGSM 0.1, {moved[2]} images: MMD^2 {moved[0]:.3g}, p {moved[1]:.2g}",
    )


def discrepancy(bench: Bench, name: str, seed: int) -> tuple[float, float, str]:
    """MMD^2, its p, and the sizes of the samples: originals of some images against the set's images of others."""
    out = bench.folder / f"{Path(name).stem}-{seed}"
    words = ["--sample", "100", "--permutations", "1000", "--permutation-seed", str(seed), "-o", str(out)]
    bench.advcli("stats", str(bench.folder / name), "--figure", "mmd", *words)
    with (out / "mmd.csv").open() as file:
        line = next(csv.DictReader(file))
    return float(line["mmd2"]), float(line["p"]), f"{line['size_a']} and {line['size_b']}"
