"""S0-K2: the maximum mean discrepancy of two sets, recomputed by scikit-learn, and its test by permutation."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import rbf_kernel

import attacked_set
from advcli.errors import CommandError
from advcli.evaluation import selected_rows
from advcli.evaluation.selected_rows import select
from advcli.figures.mmd import mmd
from advcli.files import imageset_writer
from advcli.files.imageset_reader import ImageSet
from advcli.numerics.discrepancy import discrepancy, kernel, median_distance, p_value, permuted

CLEAN = {key: attacked_set.HEADER[key] for key in ("classes", "split", "range", "made")} | {"kind": "clean"}


def clean(path: str, images: np.ndarray, first: int = 0) -> np.ndarray:
    index = first + np.arange(len(images))
    imageset_writer.write_rows(Path(path), CLEAN, {"images": images.astype(np.float32), "labels": index % 3, "index": index})
    return images.astype(np.float32)


def attacked(path: str, images: int, shift: float, budgets: int = 1) -> dict[str, np.ndarray]:
    """Random images, and the same ones brighter by the budget times the shift."""
    draw, place = np.random.default_rng(3), np.repeat(np.arange(images), budgets)
    originals = draw.uniform(0, 0.5, (images, 1, 4, 4)).astype(np.float32)
    eps = np.tile(np.arange(1, budgets + 1) / 10, images).astype(np.float32)
    given = {"images": originals[place] + np.float32(shift) * eps[:, None, None, None], "originals": originals, "original": place,
             "index": place, "labels": place % 3, "epsilon": eps}  # fmt: skip
    attacked_set.write(path, given, norm="linf", epsilon=[f"{k}/10" for k in range(1, budgets + 1)])
    return given


def drawn(*paths: str, **options: object):
    opened = [ImageSet(path) for path in paths]
    found = mmd([select(one, of=None, by="none", where=None, rows=None) for one in opened], **options)
    for one in opened:
        one.close()
    return found


def by_sklearn(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The bandwidth, and MMD^2 by the sums of its definition."""
    x, y = (one.reshape(len(one), -1).astype(np.float64) for one in (x, y))
    s, m, n = np.median(pdist(np.vstack([x, y]))), len(x), len(y)
    k = rbf_kernel(np.vstack([x, y]), gamma=1 / (2 * s**2))
    inside = [(part.sum() - np.trace(part)) / (len(part) * (len(part) - 1)) for part in (k[:m, :m], k[m:, m:])]
    return s, inside[0] + inside[1] - 2 * k[:m, m:].sum() / (m * n)


def one_test(found) -> dict:
    (line,) = [one for one in found.rows if one["of"] == "test"]
    return line


def test_the_discrepancy_is_that_of_scikit_learn(folder, monkeypatch):
    """S0-K2: the unbiased estimate and the median bandwidth, whatever the size of the batches."""
    draw = np.random.default_rng(0)
    x, y = clean("x.h5", draw.random((25, 2, 3, 3))), clean("y.h5", 0.9 * draw.random((31, 2, 3, 3)), first=25)
    found = drawn("x.h5", "y.h5", permutations=99)
    line, (s, wanted) = one_test(found), by_sklearn(x, y)
    assert (line["size_a"], line["size_b"]) == (25, 31)
    assert (line["bandwidth"], line["mmd2"]) == pytest.approx((s, wanted), abs=1e-9)
    assert f"bandwidth {s:.3g}" in found.figure.axes[0].get_title()
    assert f"MMD² = {wanted:.3g}" in found.figure.axes[0].get_title()
    counts = [one["count"] for one in found.rows if one["of"] == "permuted"]
    assert sum(counts) == line["n"] == 99
    assert line["p"] == (1 + line["k"]) / 100
    assert (line["low"], line["high"]) == pytest.approx(
        tuple(stats.binomtest(line["k"], 99).proportion_ci(method="exact")), abs=1e-9
    )
    monkeypatch.setattr(selected_rows, "MOST_ROWS", 7)
    again = one_test(drawn("x.h5", "y.h5", permutations=99))
    assert {key: again[key] for key in ("mmd2", "p")} == pytest.approx({key: line[key] for key in ("mmd2", "p")}, abs=1e-12)


def test_the_permuted_statistics_are_those_of_permuted_samples():
    draw = np.random.default_rng(1)
    points = draw.random((12, 5))
    s = median_distance(np.square(points[:, None] - points).sum(2))
    assert s == pytest.approx(np.median(pdist(points)))
    k = rbf_kernel(points, gamma=1 / (2 * s**2))
    orders = np.stack([draw.permutation(12) for _ in range(6)])
    first = np.zeros((12, 6))
    np.put_along_axis(first, orders[:, :5].T, 1, 0)
    wanted = [by_sklearn(points[one[:5]], points[one[5:]])[1] for one in orders]
    np.testing.assert_allclose(discrepancy(k, first), wanted, atol=1e-12)
    assert p_value(0.5, np.array([0.4, 0.5, 0.6])) == 3 / 4


def test_two_halves_of_one_set_do_not_differ():
    """S0-K2: p is uniform, and the discrepancy 0 in the mean, for samples of one distribution."""
    draw, found = np.random.default_rng(4), []
    for _ in range(60):
        points = draw.random((40, 9))
        squared = np.square(points[:, None] - points).sum(2)
        k = kernel(squared, median_distance(squared))
        orders = draw.permuted(np.tile(np.arange(40), (99, 1)), axis=1)
        observed = float(discrepancy(k, (np.arange(40) < 20)[:, None])[0])
        found.append((observed, p_value(observed, permuted(k, 20, lambda start, stop, orders=orders: orders[start:stop]))))
    assert stats.kstest([p for _, p in found], "uniform").pvalue > 0.01
    assert stats.ttest_1samp([observed for observed, _ in found], 0).pvalue > 0.01


def test_originals_and_attacked_images_of_one_set_share_no_image(folder):
    """S0-K2: a bright shift is found; every budget is a test of its own, on images of its own."""
    given = attacked("a.h5", 40, 1.0, budgets=2)
    found = drawn("a.h5")
    tests = [one for one in found.rows if one["of"] == "test"]
    assert [one["epsilon"] for one in tests] == ["1/10", "2/10"]
    assert all(one["p"] < 0.01 for one in tests)
    assert tests[0]["a"] == "a.h5 (originals)"
    for k, line in enumerate(tests):
        rows = [
            [one["row"] for one in found.rows if one["of"] == f"row of {s}" and one["epsilon"] == line["epsilon"]] for s in "ab"
        ]
        assert len(rows[0]) == len(rows[1]) == 20
        a, b = (given["index"][one] for one in rows)
        assert not {*a} & {*b}
        assert {*given["epsilon"][rows[1]]} == {np.float32((k + 1) / 10)}
        wanted = by_sklearn(given["originals"][given["original"][rows[0]]], given["images"][rows[1]])
        assert (line["bandwidth"], line["mmd2"]) == pytest.approx(wanted, abs=1e-9)


def test_the_seed_decides_what_is_drawn_and_nothing_else_does(folder):
    attacked("a.h5", 40, 0.05)
    first, again, other = (one_test(drawn("a.h5", permutation_seed=seed, sample=12)) for seed in (1, 1, 2))
    assert first == again
    assert first["size_a"] == first["size_b"] == 12
    assert first["mmd2"] != other["mmd2"]


def test_what_cannot_be_compared_is_said(folder):
    draw = np.random.default_rng(5)
    clean("x.h5", draw.random((9, 1, 4, 4)))
    clean("wide.h5", draw.random((9, 1, 4, 5)))
    attacked("a.h5", 9, 1, budgets=2)
    attacked("b.h5", 9, 1, budgets=3)
    for paths, told in (
        (["x.h5"], "no originals"),
        (["x.h5", "wide.h5"], "of another size"),
        (["a.h5", "b.h5"], "other budgets"),
        (["x.h5"] * 3, "compares two files"),
    ):
        with pytest.raises(CommandError, match=told):
            drawn(*paths)
    clean("one.h5", draw.random((2, 1, 4, 4)))
    found = drawn("one.h5", "one.h5")
    assert found.rows == []
    assert "no rows" in found.figure.texts[-1].get_text()
    clean("same.h5", np.full((8, 1, 4, 4), 0.5))
    assert one_test(drawn("same.h5", "same.h5"))["p"] == 1, "equal images: every division has the same discrepancy"
    assert len(drawn("x.h5", "b.h5").figure.axes) == 3, "one panel for each budget"
