"""The histograms of pixel values against NumPy's, from the file's own arrays."""

import h5py
import numpy as np

import attacked_set
from advcli.evaluation.selected_rows import select
from advcli.figures.values import values
from advcli.files.imageset_reader import ImageSet


def test_every_budget_has_a_histogram_of_its_own_and_zeros_apart(folder):
    """S0-S1: histograms of raw pixel values; those of a perturbation's unchanged pixels are counted on their own."""
    attacked_set.sweep()
    with ImageSet("sweep.h5") as opened:
        found = values(select(opened, of=None, by="none", where=None, rows=None), bins=11)
    with h5py.File("sweep.h5") as file:
        attacked, epsilon = file["clean_prediction"][:] == file["labels"][:], file["epsilon"][:]
        originals = file["originals"][:][file["original"][:]]
        seen = {"images": file["images"][:], "originals": originals, "perturbations": file["images"][:] - originals}
    for kind, pixels in seen.items():
        for eps, value in (("0.1", 0.1), ("8/255", 8 / 255)):
            mine = pixels[attacked & np.isclose(epsilon, value)].astype(float)
            lines = [row for row in found.rows if (row["of"], row["epsilon"]) == (kind, eps)]
            bins = [row for row in lines if row["from"] < row["to"]]
            edges = [bins[0]["from"], *(row["to"] for row in bins)]
            moved = mine[mine != 0] if kind == "perturbations" else mine
            assert [row["count"] for row in bins] == np.histogram(moved, edges)[0].tolist()
            assert [row["count"] for row in lines if row["from"] == row["to"]] == [(mine == 0).sum()] * (kind == "perturbations")
            assert sum(row["count"] for row in lines) == mine.size
            largest = np.abs(seen["perturbations"][attacked]).max()
            np.testing.assert_allclose(edges[:: len(edges) - 1], [-largest, largest] if kind == "perturbations" else [0, 1])
    titles = [axes.get_title() for axes in found.figure.axes]
    assert titles == ["images", "originals\n(the same for all budgets)", "perturbations\n(zeros left out: 33.3%)"]


def test_only_what_is_asked_for_is_drawn_and_nothing_without_rows(folder):
    attacked_set.sweep()
    with ImageSet("sweep.h5") as opened:
        one = values(select(opened, of="perturbations", by="none", where="epsilon=0.1", rows=None))
        nothing = values(select(opened, of=None, by="none", where=None, rows="failures"))
    assert [row["epsilon"] for row in one.rows] == ["0.1"] * 51
    assert len(one.figure.axes) == 1
    assert not one.figure.legends
    assert nothing.rows == []
