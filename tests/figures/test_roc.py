"""ROC curves: the corners against scikit-learn, and the figures that `evaluate` has."""

import numpy as np
import pytest
from sklearn.metrics import auc, roc_curve

from advcli.evaluation.detector_curve import area, corners


def test_corners_are_scikit_learns_and_so_is_the_area_under_them():
    draw = np.random.default_rng(0)
    for _ in range(30):
        positive, negative = draw.integers(0, 6, 20) / 2 + 1, draw.integers(0, 6, 15) / 2
        found = corners(positive, negative)
        false, true, _ = roc_curve([1] * 20 + [0] * 15, np.append(positive, negative), drop_intermediate=False)
        full = {(round(15 * x), round(20 * y)) for x, y in zip(false, true, strict=True)}
        assert {(int(x), int(y)) for _, x, y in found} <= full
        assert auc(found[:, 1] / 15, found[:, 2] / 20) == pytest.approx(auc(false, true), abs=1e-9)
        assert area(positive, np.sort(negative)) == pytest.approx(auc(false, true), abs=1e-9)


@pytest.mark.parametrize("positives", ["successful", "all"])
def test_the_figures_are_those_of_evaluate(drawn, evaluated, positives):
    words = ("fgsm.h5", "--model", "detector.safetensors")
    found = drawn("roc", *words, "--positives", positives)
    found = [one for one in found if one["epsilon"] == "0.2"]
    rows = [row for row in evaluated(*words, "--metric", "roc") if (row["positives"], row["epsilon"]) == (positives, 0.2)]
    assert {row["metric"] for row in rows} == {"auc", "tpr@1%", "tpr@5%"}
    for row in rows:
        (one,) = [one for one in found if one["of"] == row["metric"]]
        assert [float(one[name]) for name in ("value", "low", "high", "draws_min", "draws_max")] == [
            row["value"], row["low"], row["high"], row["spread"]["min"], row["spread"]["max"]]  # fmt: skip
    curve = np.array([[float(one["false_alarms"]), float(one["value"])] for one in found if one["of"] == "curve"])
    (area_,) = [row["value"] for row in rows if row["metric"] == "auc"]
    assert auc(curve[:, 0], curve[:, 1]) == pytest.approx(area_, abs=1e-9)


def test_a_model_that_cannot_reject_has_no_curve(run, judged, tmp_path):
    ran = run("stats", "fgsm.h5", "--figure", "roc", "-o", tmp_path / "out")
    assert (ran.code, "needs a model with a reject option" in ran.err) == (2, True)
