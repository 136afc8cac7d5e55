"""The histograms of norms against NumPy's, from the file's own arrays."""

import h5py
import numpy as np
import pytest

import attacked_set
from advcli.evaluation.budget_lines import counted, span
from advcli.evaluation.selected_rows import select
from advcli.figures.norms import _edges_of_counts, norms
from advcli.files.imageset_reader import ImageSet

NORMS = {
    "l0": lambda p: (p != 0).sum(1),
    "l1": lambda p: np.abs(p).sum(1),
    "l2": lambda p: np.sqrt((p**2).sum(1)),
    "linf": lambda p: np.abs(p).max(1),
}


def drawn(path: str, rows: str | None = None, **options: object):
    with ImageSet(path) as opened:
        return norms(select(opened, of=None, by="none", where=None, rows=rows), **options)


def test_every_budget_has_a_histogram_of_its_own_which_is_numpys(folder):
    """S0-S1: histograms of the norms of perturbations."""
    attacked_set.sweep()
    found = drawn("sweep.h5", bins=11)
    with h5py.File("sweep.h5") as file:
        p = (file["images"][:] - file["originals"][:][file["original"][:]]).astype(float).reshape(60, -1)
        attacked, epsilon = file["clean_prediction"][:] == file["labels"][:], file["epsilon"][:]
    for norm, measure in NORMS.items():
        for eps, value in (("0.1", 0.1), ("8/255", 8 / 255)):
            mine = [row for row in found.rows if (row["norm"], row["epsilon"]) == (norm, eps)]
            edges = [mine[0]["from"], *(row["to"] for row in mine)]
            here = attacked & np.isclose(epsilon, value)
            assert [row["count"] for row in mine] == np.histogram(measure(p[here]), edges)[0].tolist()
            assert sum(row["count"] for row in mine) == here.sum() == 27
    assert "54 rows (attacked)" in found.figure.get_suptitle()
    assert [text.get_text() for text in found.figure.legends[0].get_texts()] == ["8/255", "0.1"]
    titles = [axes.get_title() for axes in found.figure.axes]
    assert titles[0] == "l0 norm\n(the same for all budgets)"
    assert {len(axes.patches) for axes in found.figure.axes[1:]} == {2}


def test_a_selection_without_rows_is_a_picture_that_says_so(folder):
    attacked_set.sweep()
    found = drawn("sweep.h5", rows="failures")
    assert found.rows == []
    assert [text.get_text() for axes in found.figure.axes for text in axes.texts] == ["no rows"]


def test_a_clean_set_has_norms_of_images(folder):
    images = np.random.default_rng(0).random((4, 1, 2, 2))
    attacked_set.write("clean.h5", {"images": images, "labels": np.arange(4) % 3}, kind="clean")
    assert {row["of"] for row in drawn("clean.h5").rows} <= {"images", "perturbations"}


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [
        (0.25, 0.25, (0, 0.5)),
        (0.0, 0.0, (-0.5, 0.5)),
        (-2.0, -2.0, (-2.5, -1.5)),
        (-1, 3, (-1, 3)),
        (np.nan, np.nan, (0, 1)),
        (0, np.inf, (0, 1)),
    ],
)
def test_a_single_value_lies_in_the_middle_of_its_bins(low, high, ends):
    assert span(low, high) == ends


@pytest.mark.parametrize(
    ("low", "high", "bins", "edges"),
    [(0, 3, 4, [-0.5, 0.5, 1.5, 2.5, 3.5]), (0, 4, 4, [-0.5, 1.5, 3.5, 5.5]), (5, 5, 4, [4.5, 5.5])],
)
def test_bins_of_counts_hold_as_many_whole_numbers_each(low, high, bins, edges):
    np.testing.assert_allclose(_edges_of_counts(low, high, bins), edges)


def test_a_value_on_an_edge_is_counted_where_numpy_counts_it():
    """NumPy would take narrower edges for float32 values, and count 0.02 on the other side."""
    edges = np.linspace(0, 1, 51)
    values = np.concatenate([edges, edges - 1e-9, edges + 1e-9, np.arange(256) / 255]).clip(0, 1).astype(np.float32)
    assert counted(values, edges).tolist() == np.histogram(values.astype(float), edges)[0].tolist()
