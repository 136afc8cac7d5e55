"""The curve of accuracy and success: recomputed from the files, and equal to what `evaluate` says."""

import numpy as np
import pytest

from advcli.evaluation.decisions import AttackedVerdicts, Decisions
from advcli.evaluation.exact_curve import accuracy_steps, success_steps
from by_hand import check_rate, chosen, columns

SWEEP = ("0", "0.05", "0.1", "0.2")


def test_a_sweep_has_a_point_at_each_budget(drawn, evaluated):
    """S1-F3, S3-F1, S3-F4: accuracy of all images, success of those that were right; at 0 the originals."""
    found, file = drawn("curve", "fgsm.h5"), columns("fgsm.h5")
    right, before = file["prediction"] == file["labels"], file["clean_prediction"] == file["labels"]
    for text in SWEEP:
        here = file["epsilon"] == np.float32(text)
        check_rate(chosen(found, metric="accuracy", epsilon=text), right[here].sum(), here.sum())
        check_rate(chosen(found, metric="success", epsilon=text), (before & ~right)[here].sum(), (before & here).sum())
    assert len(found) == 8
    for row in evaluated("fgsm.h5"):
        if row["metric"] in ("accuracy", "success") and row["kind"] == "adversarial":
            mine = [one for one in found if one["metric"] == row["metric"] and float(one["epsilon"]) == row["epsilon"]]
            assert [float(mine[0][name]) for name in ("value", "low", "high")] == [row[name] for name in ("value", "low", "high")]


def test_the_originals_are_the_point_at_nothing(drawn, evaluated):
    found, file = drawn("curve", "other.h5", "--model", "other.safetensors", "--show", "accuracy"), columns("other.h5")
    assert [(one["epsilon"], one["attack"]) for one in found] == [("0", "none"), ("0.1", "fgsm")]
    check_rate(found[0], (file["clean_prediction"] == file["labels"]).sum(), 30)
    (clean,) = evaluated("--model", "other.safetensors", "--data", "digits", "--limit", "30", "--metric", "accuracy")
    assert (clean["k"], clean["n"]) == (int(found[0]["k"]), 30)


def test_several_targets_are_rows_of_one_image(drawn, evaluated):
    found, file = drawn("curve", "every.h5"), columns("every.h5")
    for text in ("0.1", "0.3"):
        here = file["epsilon"] == np.float32(text)
        right = file["prediction"] == file["labels"]
        all_right = [right[here & (file["index"] == one)].all() for one in np.unique(file["index"])]
        check_rate(chosen(found, metric="accuracy", epsilon=text), sum(all_right), 8)
        could = here & (file["clean_prediction"] == file["labels"]) & (file["target"] != file["labels"])
        line = chosen(found, metric="success", epsilon=text)
        assert (int(line["hits"]), int(line["rows"])) == ((file["prediction"] == file["target"])[could].sum(), could.sum())


@pytest.mark.parametrize("x", ["budget", "linf"])
def test_a_minimal_attack_has_a_step_at_every_distance(drawn, evaluated, x):
    """S3-F1: accuracy at every budget at once, as `evaluate --eps` has it at single ones."""
    found, file = drawn("curve", "deepfool.h5", "--x", x), columns("deepfool.h5")
    moved = (file["images"].astype(float) - file["originals"][file["original"]]).reshape(30, -1)
    far = np.abs(moved).max(1) if x == "linf" else np.sqrt((moved**2).sum(1))
    before, after = (file[name] == file["labels"] for name in ("clean_prediction", "prediction"))
    grid = np.unique([0, *far])
    for metric in ("accuracy", "success"):
        mine = [one for one in found if one["metric"] == metric]
        assert [float(one["epsilon"]) for one in mine] == pytest.approx(grid, abs=1e-9)
        for one, eps in zip(mine, grid, strict=True):
            if metric == "accuracy":
                check_rate(one, np.where(far <= eps, after, before).sum(), 30)
            else:
                check_rate(one, (before & ~after & (far <= eps)).sum(), before.sum())
    if x == "budget":
        for row in evaluated("deepfool.h5", "--eps", "0.1,0.3,0.7"):
            at = [
                one
                for one in found
                if one["metric"] == row["metric"] and row["epsilon"] and float(one["epsilon"]) <= row["epsilon"]
            ]
            if row["kind"] == "adversarial" and at:
                assert (int(at[-1]["k"]), int(at[-1]["n"])) == (row["k"], row["n"])


def test_steps_of_several_rows_of_an_image():
    """Distances of rows of one image, in any order: an image is right while all its rows are."""
    draw = np.random.default_rng(0)
    for _ in range(40):
        image, labels = draw.integers(0, 5, 14), np.zeros(14, np.int64)
        clean = np.array([0, 0, 0, 1, 0])[image]
        said, distance = draw.integers(0, 2, 14), draw.integers(0, 4, 14) / 2

        def decided(answers):
            return Decisions(answers, answers, answers / 2)

        given = AttackedVerdicts(classes=("a", "b"), labels=labels, said=decided(said), image=image, before=decided(clean),
                                 original=image, targets=labels - 1, attacked=clean == 0)  # fmt: skip
        steps, won = accuracy_steps(given, distance), success_steps(given, distance)
        for at, k, hits in zip(steps.at, steps.k, won.k, strict=True):
            right = np.where(distance <= at, said, clean) == 0
            assert k == sum(right[image == one].all() for one in np.unique(image))
            assert hits == ((clean == 0) & (said == 1) & (distance <= at)).sum()
        assert (won.n, steps.n) == ((clean == 0).sum(), len(np.unique(image)))


def test_filtered_sets_lie_over_the_number_of_their_filter(drawn, evaluated):
    """S3-F3: accuracy against sigma, one line for each budget; without the filter beside it."""
    found = drawn("curve", "half.h5", "one.h5", "fgsm.h5", "--x", "filter")
    rows = {(row["set"], row["metric"], row["epsilon"]): row for row in evaluated("half.h5", "one.h5", "fgsm.h5")}
    assert len(found) == 2 * 3 * len(SWEEP)
    for one in found:
        assert one["sigma"] == {"half.h5": "0.5", "one.h5": "1.0", "fgsm.h5": "none"}[one["set"]]
        row = rows[one["set"], one["metric"], float(one["epsilon"])]
        assert (int(one["k"]), int(one["n"]), float(one["low"])) == (row["k"], row["n"], row["low"])


def test_a_random_model_shows_its_draws(drawn, evaluated):
    words = ("--model", "random.safetensors", "--draws", "3")
    found = drawn("curve", "fgsm.h5", "deepfool.h5", *words)
    rows = [row for row in evaluated("fgsm.h5", *words) if row["kind"] == "adversarial"]
    for row in (row for row in rows if row["metric"] in ("accuracy", "success")):
        (one,) = [one for one in found if one["set"] == "fgsm.h5" and one["metric"] == row["metric"]
                  and float(one["epsilon"]) == row["epsilon"]]  # fmt: skip
        assert [float(one[name]) for name in ("value", "draws_min", "draws_max")] == [
            row["value"], row["spread"]["min"], row["spread"]["max"]]  # fmt: skip
    steps = [one for one in found if one["set"] == "deepfool.h5"]
    assert {one["draws"] for one in steps} == {"3"}
    assert all(float(one["draws_min"]) <= float(one["value"]) <= float(one["draws_max"]) for one in steps)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fgsm.h5", "--x", "l2"], "has budgets in linf, not distances"),
        (["fgsm.h5", "--x", "filter"], "no filtered set and no model behind a defense"),
        (["half.h5", "half.h5", "--x", "filter", "--show", "none"], "'none' is not one of"),
    ],
)
def test_what_has_no_such_axis_is_refused(run, judged, tmp_path, words, says):
    ran = run("stats", *words, "--figure", "curve", "-o", tmp_path / "out")
    assert ran.code == 2
    assert says in ran.err


def test_no_labels_give_a_picture_that_says_so(drawn, unlabelled):
    found = drawn("curve", unlabelled, "--show", "accuracy")
    assert [(one["value"], one["n"]) for one in found] == [("nan", "0")] * 2
