"""Minimal-norm sets at a budget: their distances, recomputed from the stored bytes, give a verdict at every eps."""

import json

import numpy as np
import pytest

from advcli.files.imageset_reader import ImageSet


@pytest.fixture
def made(run, model):
    assert run("attack", "--method", "deepfool", "--limit", "40", "-o", "near.h5").code == 0
    return "near.h5"


def rows(ran):
    assert ran.code == 0, ran.err
    return json.loads(ran.out)["rows"]


def truth(name, eps):
    """Which images are right at a budget, by NumPy in double precision; the stored predictions are the model's."""
    with ImageSet(name) as opened:
        x, source = (opened.rows(kind, 0, 40).numpy().astype(np.float64) for kind in ("images", "originals"))
        said, clean, label = (opened.column(one) for one in ("prediction", "clean_prediction", "labels"))
    far = np.sqrt(((x - source) ** 2).sum((1, 2, 3)))
    return (clean == label) & ((said == label) | (far > eps)), clean == label, far


def test_robust_accuracy_at_a_budget_is_the_share_whose_distance_is_beyond_it(run, made):
    found = rows(run("evaluate", made, "--eps", "0:2:0.25", "--json"))
    curve = [row for row in found if row["metric"] == "accuracy" and row["epsilon"] is not None]
    assert [row["epsilon"] for row in curve] == [0.25 * k for k in range(9)]
    for row in curve:
        right, start, _ = truth(made, row["epsilon"])
        assert (row["k"], row["n"]) == (right.sum(), 40)
        assert row["threat"]["notes"] == [
            "by the distances of a minimal-norm attack: an upper bound on robust accuracy at this budget"
        ]
        won = next(one for one in found if one["metric"] == "success" and one["epsilon"] == row["epsilon"])
        assert (won["k"], won["n"]) == ((start & ~right).sum(), start.sum())
    values = [row["value"] for row in curve]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.8 > 0.2 > values[-1]


def test_a_row_on_the_budget_is_inside(run, made):
    far = np.sort(truth(made, 0)[2])[20]
    found = rows(run("evaluate", made, "--eps", f"{far:.9f},{far - 1e-4:.9f}", "--metric", "accuracy", "--json"))
    on, below = (row["k"] for row in found if row["epsilon"] is not None)
    assert below - on == 1


def test_the_default_budget_is_the_norms_and_those_of_the_other_sets(run, made):
    run("attack", "--method", "pgd", "--norm", "l2", "--eps", "0.5,1", "--limit", "40", "-o", "l2.h5")
    run("attack", "--method", "pgd", "--eps", "0.1", "--limit", "40", "-o", "linf.h5")
    found = rows(run("evaluate", made, "l2.h5", "linf.h5", "--metric", "accuracy", "--json"))
    assert [row["epsilon"] for row in found if row["set"] == made and row["kind"] == "adversarial"] == [None, 0.5, 1.0, 2.0]
    worst = {row["epsilon"]: row for row in found if row["metric"] == "robust_accuracy"}
    assert worst.keys() == {0.5, 1.0}
    with ImageSet("l2.h5") as opened:
        said, label, eps = (opened.column(name) for name in ("prediction", "labels", "epsilon"))
    for budget, row in worst.items():
        of_l2 = (said == label)[eps == np.float32(budget)]
        assert row["k"] == (truth(made, budget)[0] & of_l2).sum()
        assert row["set"] == f"{made} + l2.h5"


def test_fail_under_takes_minimal_norm_sets(run, made):
    share = truth(made, 2.0)[0].mean()
    assert run("evaluate", made, "--bar", "estimate", "--fail-under", f"robust_accuracy={share}").code == 0
    ran = run("evaluate", made, "--bar", "estimate", "--fail-under", f"robust_accuracy={share + 0.01}")
    assert ran.code == 1
    assert "robust_accuracy of model.safetensors is" in ran.err
    assert run("evaluate", made, "--eps", "0.01", "--fail-under", "robust_accuracy=0.8").code == 0


def test_eps_is_for_minimal_norm_sets_of_one_norm(run, made):
    run("attack", "--method", "pgd", "--limit", "5", "-o", "pgd.h5")
    run("attack", "--method", "jsma", "--limit", "5", "-o", "jsma.h5")
    for files, complaint in ((["pgd.h5"], "none was given"), ([made, "jsma.h5"], "several norms (l0, l2)")):
        ran = run("evaluate", *files, "--eps", "1")
        assert ran.code == 2
        assert complaint in ran.err
    found = rows(run("evaluate", "jsma.h5", "--json"))
    assert {row["epsilon"] for row in found} == {None}, "pixels have no default budget"
    assert {row["epsilon"] for row in rows(run("evaluate", "jsma.h5", "--eps", "3,20", "--json"))} == {None, 3.0, 20.0}
    assert run("evaluate", "jsma.h5", "--eps", "many").code == 2
