"""Attacks that see scores only: local search of pixels, and SPSA and the boundary attack, also after a spatial transform."""

from pathlib import Path

import h5py
import numpy as np

from advcli.numerics.arrays import Array
from benchmarks.rows.bench import UNDEFENDED, Bench, Shown

IMAGES, CLOSE, HALF = 100, 0.15, 0.5


def _columns(file: Path) -> dict[str, Array]:
    """What a set's rows say, and in how many values each image differs from its original."""
    with h5py.File(file) as opened:
        found = {name: opened[name][:] for name in ("success", "queries", "gradients", "clean_prediction", "labels", "original")}
        images, originals = opened["images"][:], opened["originals"][:][found["original"]]
    whole = [one / np.float32(255) if one.dtype == np.uint8 else one for one in (images, originals)]
    return {**found, "l0": (whole[0] != whole[1]).reshape(len(images), -1).sum(1)}


def _attack(bench: Bench, name: str, *options: str, data: str = "mnist") -> dict[str, Array]:
    file = bench.folder / f"{name}.h5"
    bench.advcli("attack", *options, "--model", str(UNDEFENDED), "--data", data, "--limit", str(IMAGES), "-o", str(file))
    return _columns(file)


def _left(rows: dict[str, Array]) -> float:
    """Accuracy under the attack."""
    return float(((rows["clean_prediction"] == rows["labels"]) & (rows["success"] == 0)).mean())


def s4_a4(bench: Bench) -> Shown:
    """Local search breaks at least half of 100 images of MNIST on an undefended cnn within 150 rounds."""
    rows = _attack(bench, "local", "--method", "local-search", "--rounds", "150")
    won = rows["success"] > 0
    share = won.sum() / (rows["clean_prediction"] == rows["labels"]).sum()
    pixels, queries = np.median(rows["l0"][won]), np.median(rows["queries"][won])
    figures = f"success {share:.0%}; medians of the successes: L0 {pixels:.0f}, {queries:.0f} queries"
    return Shown(bool(share >= HALF and not rows["gradients"].any()), figures)


def s4_a6(bench: Bench) -> Shown:
    """SPSA (eps 0.3, 64 pairs, 200 steps) leaves at most 15 points more accuracy than PGD on an undefended cnn, 100 images.

    Both it and the boundary attack also after a random spatial transform; none asks for a gradient, and all count queries.
    """
    budget = ("--eps", "0.3", "--steps")
    pgd = _attack(bench, "pgd", "--method", "pgd", *budget, "40")
    spsa = _attack(bench, "spsa", "--method", "spsa", *budget, "200", "--samples", "64")
    moved = _attack(bench, "moved", "--method", "spatial", "--mode", "random", "--samples", "1", "--no-early-stop")
    after = _attack(bench, "after", "--method", "spsa", *budget, "200", data=str(bench.folder / "moved.h5"))
    nearest = _attack(bench, "nearest", "--method", "boundary", "--steps", "1000", data=str(bench.folder / "moved.h5"))
    blind = not any(rows["gradients"].any() for rows in (spsa, moved, after, nearest))
    counted = all((rows["queries"][rows["success"] > 0] > 0).all() for rows in (spsa, after, nearest))
    figures = (
        f"accuracy: PGD {_left(pgd):.0%}, SPSA {_left(spsa):.0%}; after one random transform {_left(moved):.0%}, "
        f"then SPSA {_left(after):.0%}, boundary {_left(nearest):.0%}"
    )
    return Shown(_left(spsa) <= _left(pgd) + CLOSE and blind and counted, figures)
