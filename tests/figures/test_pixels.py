"""Pixels before and after: counts, shares and deviations against NumPy's, from the file's own arrays."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.stats import beta

import attacked_set
import class_pairs
from advcli.evaluation.selected_rows import select
from advcli.figures.pixels import pixels
from advcli.files.imageset_reader import ImageSet

BUDGETS = {"0.1": 0.1, "0.3": 0.3}


def digits(path: str = "digits.h5") -> None:
    """Ten pictures of two colours, half of them black; each is moved under two budgets, and some rows fail."""
    draw = np.random.default_rng(1)
    originals = (draw.random((10, 1, 4, 5)) < 0.5).astype(np.float32) * draw.choice([0.5, 1], (10, 1, 4, 5)).astype(np.float32)
    place, epsilon = np.repeat(np.arange(10), 2), np.tile(np.array([0.1, 0.3], np.float32), 10)
    sign = draw.choice(np.array([-1, 0, 1], np.float32), (20, 1, 4, 5))
    images = (originals[place] + sign * epsilon[:, None, None, None]).clip(0, 1)
    columns = {"images": images, "originals": originals, "original": place, "labels": place % 3, "epsilon": epsilon}
    attacked_set.write(path, columns | {"success": (draw.random(20) < 0.7).astype(np.uint8)}, epsilon=list(BUDGETS))


def drawn(path: str, where: str | None = None, rows: str | None = None):
    with ImageSet(path) as opened:
        return pixels(select(opened, of=None, by="none", where=where, rows=rows), bins=10)


@pytest.mark.parametrize("rows", ["attacked", "successes"])
def test_counts_shares_and_deviations_are_numpys(folder, rows):
    """S0-F3: the counts sum to n * d; the share strictly inside (0.02, 0.98) and the deviation rise, also on the background."""
    digits()
    found = drawn("digits.h5", rows=rows)
    with h5py.File("digits.h5") as file:
        before, after = file["originals"][:][file["original"][:]].astype(float), file["images"][:].astype(float)
        chosen, epsilon, original = (file["success"][:] == 1) | (rows == "attacked"), file["epsilon"][:], file["original"][:]
    for eps, value in BUDGETS.items():
        mine = chosen & np.isclose(epsilon, value)
        seen = {"originals": before[mine], "images": after[mine], "background": after[mine][before[mine] == 0]}
        lines = {of: [row for row in found.rows if (row["of"], row["epsilon"]) == (of, eps)] for of in seen}
        for of, values in seen.items():
            bins = [row for row in lines[of] if row["statistic"] == "bin"]
            edges = [bins[0]["from"], *(row["to"] for row in bins)]
            np.testing.assert_allclose(edges, np.linspace(0, 1, 11))
            assert [row["count"] for row in bins] == np.histogram(values, edges)[0].tolist()
            inside, mean, std = (next(row for row in lines[of] if row["statistic"] == one) for one in ("inside", "mean", "std"))
            wanted = (values > 0.02) & (values < 0.98)
            assert (inside["count"], inside["n"]) == (wanted.sum(), values.size)
            np.testing.assert_allclose([inside["value"], mean["value"], std["value"]],
                                       [wanted.mean(), values.mean(), values.std()], atol=1e-9)  # fmt: skip
            low, high = interval(*clusters(wanted, before[mine], original[mine], of))
            np.testing.assert_allclose([inside["low"], inside["high"]], [low, high], atol=1e-9)
        assert sum(row["count"] for row in lines["images"] if row["statistic"] == "bin") == mine.sum() * 20


def clusters(wanted: np.ndarray, before: np.ndarray, original: np.ndarray, of: str) -> tuple[np.ndarray, np.ndarray]:
    """The number inside and the number of pixels of every original."""
    owner = np.broadcast_to(original[:, None, None, None], before.shape)
    owner, flat = (owner[before == 0], wanted) if of == "background" else (owner.ravel(), wanted.ravel())
    return tuple(np.array([each[owner == k].sum() for k in np.unique(original)]) for each in (flat, np.ones_like(flat)))  # type: ignore[return-value]


def interval(k: np.ndarray, n: np.ndarray) -> tuple[float, float]:
    """Clopper and Pearson's, for the number of independent pixels that would give the variance between originals."""
    p, count = k.sum() / n.sum(), len(k)
    variance = ((k - p * n) ** 2).sum() / n.sum() ** 2 * count / (count - 1)
    alone = min(p * (1 - p) / variance if variance else count, n.sum())
    low = beta.ppf(0.025, p * alone, alone - p * alone + 1) if p else 0.0
    return low, beta.ppf(0.975, p * alone + 1, alone - p * alone) if p < 1 else 1.0


def test_an_attack_without_clipping_is_counted_as_far_as_it_goes(folder):
    images = np.linspace(-0.5, 1.5, 12, dtype=np.float32).reshape(3, 1, 2, 2)
    made = attacked_set.MADE | {"options": attacked_set.OPTIONS | {"clip": False}}
    attacked_set.write("wild.h5", {"images": images, "labels": np.arange(3)}, range=[-0.5, 1.5], made=made)
    found = drawn("wild.h5")
    bins = [row for row in found.rows if (row["of"], row["statistic"]) == ("images", "bin")]
    assert (bins[0]["from"], bins[-1]["to"], sum(row["count"] for row in bins)) == (-0.5, 1.5, 12)
    assert [row["count"] for row in found.rows if (row["of"], row["statistic"]) == ("background", "inside")] == [0]
    assert [axes.get_xlabel().partition("\n")[2] for axes in found.figure.axes][-1] == "no such pixels"


def test_no_rows_and_no_originals(folder, run):
    digits()
    with ImageSet("digits.h5") as opened:
        label = int(opened.column("labels")[opened.column("success") == 1][0])
    assert drawn("digits.h5", rows="failures", where=f"label={'abc'[label]},success=1").rows == []
    class_pairs.write("set.h5")
    class_pairs.write_perturbations(Path("moved.h5"), "set.h5")
    ran = run("stats", "moved.h5", "--figure", "pixels")
    assert ran.code == 2
    assert "--figure pixels: moved.h5 has no originals" in ran.err
