"""The class that an attack leaves: the true one, or the model's own decision for every image."""

import json

import numpy as np
import pytest
import torch

from advcli.evaluation.outcomes import WRONG, outcomes
from advcli.evaluation.threat_model import WORST
from advcli.files.imageset_reader import ImageSet

ATTACK = ("attack", "--method", "fgsm", "--eps", "0.3", "--limit", "150")


@pytest.fixture
def both(run, model):
    """Two sets of the same images: leaving the true class, and leaving the model's decision."""
    for label in ("true", "pred"):
        assert run(*ATTACK, "--label", label, "-o", f"{label}.h5", "--no-perturbations").code == 0
    with ImageSet("true.h5") as true, ImageSet("pred.h5") as pred:
        yield true, pred


def test_both_labels_are_available_and_recorded_and_move_different_images(both):
    """S4-A3: with --label pred the images that are wrong from the start move too, and the header says which label was left."""
    true, pred = both
    wrong = pred.column("clean_prediction") != pred.column("labels")
    assert wrong.any()
    assert not wrong.all()
    assert [one.header["made"]["options"]["label"] for one in both] == ["true", "pred"]
    still = [(one.rows("images", 0, 150) == one.pick("originals", one.column("original"))).flatten(1).all(1) for one in both]
    assert still[0].numpy()[wrong].all()
    assert not still[1].numpy()[wrong].any()
    assert torch.equal(true.rows("images", 0, 150)[~wrong], pred.rows("images", 0, 150)[~wrong]), "the same class is left"
    assert (pred.column("gradients")[wrong] > 0).all(), "what they cost is charged"


def test_success_counts_those_that_were_right_and_the_others_are_marked(both, run):
    true, pred = both
    wrong = pred.column("clean_prediction") != pred.column("labels")
    np.testing.assert_array_equal(true.column("success"), pred.column("success"))
    assert "moves_wrong" not in true.header
    assert pred.header["moves_wrong"] is True
    np.testing.assert_array_equal(outcomes(pred) == WRONG, wrong)
    assert run("verify", "pred.h5").code == 0
    figures = [run("evaluate", name, "--metric", "success", "--json").out for name in ("true.h5", "pred.h5")]
    assert figures[0].split('"value"')[1][:20] == figures[1].split('"value"')[1][:20]


def test_an_image_that_the_attack_made_right_is_reported_and_never_in_the_worst_case(both, run):
    """Accuracy counts it, as a paper that leaves the model's decision does; a note says so, and the worst case does without."""
    _, pred = both
    wrong = pred.column("clean_prediction") != pred.column("labels")
    made_right = wrong & (pred.column("prediction") == pred.column("labels"))
    assert made_right.any(), "what the test is about"
    words = ("--method", "pgd", "--steps", "2", "--eps", "0.3", "--limit", "150", "--label", "pred", "-o", "pgd.h5")
    assert run("attack", *words, "--no-perturbations").code == 0
    found = json.loads(run("evaluate", "pred.h5", "pgd.h5", "--json").out)["rows"]
    (worst,) = [row for row in found if row["threat"]["attack"] == WORST and row["metric"] == "robust_accuracy"]
    assert worst["k"] <= (~wrong).sum() - pred.column("success").sum()
    assert "wrong from the start were moved too" in run("evaluate", "pred.h5", "--metric", "accuracy").out
    assert "wrong before" in run("stats", "pred.h5", "--force").out


def test_a_temperature_divides_the_logits_before_their_softmax(run, model):
    """S3-D3: attacks divide the logits by T with --temperature; for the logit itself it would do nothing, and is refused."""
    assert run(*ATTACK, "--objective", "prob", "--temperature", "20").code == 0
    with ImageSet("adversarial.h5") as made:
        assert made.header["scale"] == 20
        assert made.header["made"]["options"]["temperature"] == 20
    assert "--temperature 20" in run("show", "adversarial.h5").out
    refused = run(*ATTACK, "--objective", "logit", "--temperature", "20", "--force")
    assert refused.code == 2
    assert "takes no softmax" in refused.err
