"""Confusion matrices: recomputed from the stored predictions."""

import numpy as np

from by_hand import check_rate, chosen, columns


def test_cells_are_counts_and_shares_of_the_class(drawn, unlabelled):
    file = columns("fgsm.h5")
    found = drawn("confusion", "fgsm.h5", "--at", "0.2")
    assert {one["epsilon"] for one in found} == {"0.2"}
    here = file["epsilon"] == np.float32(0.2)
    for label in range(10):
        of = here & (file["labels"] == label)
        for said in range(10):
            check_rate(chosen(found, label=label, prediction=said), (of & (file["prediction"] == said)).sum(), of.sum())
    assert {one["value"] for one in drawn("confusion", unlabelled)} == {"nan"}


def test_a_budget_that_no_set_has_is_refused(run, judged, tmp_path):
    ran = run("stats", "fgsm.h5", "--figure", "confusion", "--at", "0.7", "-o", tmp_path / "out")
    assert (ran.code, "--at 0.7: no set has this budget" in ran.err) == (2, True)
