"""Rows that were never attacked, failures and successes: told apart from the file alone."""

import numpy as np
import pytest

import attacked_set
from advcli.evaluation.outcomes import FAILURE, NEVER, SUCCESS, minimal_norm, outcomes, usual
from advcli.files.imageset_reader import ImageSet

ATTACKS = {
    "untargeted": ["--method", "fgsm", "--eps", "0.05"],
    "one class": ["--method", "fgsm", "--eps", "0.1", "--target", "3"],  # of which some images are
    "minimal": ["--method", "deepfool"],
    "made": ["--method", "fool-gradient", "--steps", "20"],
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_row_was_never_attacked_where_it_has_cost_nothing_and_is_its_original(run, model, name):
    assert run("attack", *ATTACKS[name], *([] if name == "made" else ["--limit", "120"])).code == 0
    for file in ("adversarial.h5", "perturbations.h5"):
        with ImageSet(file) as opened:
            found = outcomes(opened)
            if file == "adversarial.h5":
                free = opened.column("gradients") == 0
                same = (opened.rows("images", 0, len(opened)) == opened.pick("originals", opened.column("original"))).all(
                    (1, 2, 3)
                )
                np.testing.assert_array_equal(found == NEVER, free & same.numpy())
            np.testing.assert_array_equal(found == SUCCESS, opened.column("success") == 1)
            if name == "one class":
                assert (opened.column("labels") == 3).any()
                assert (found[opened.column("labels") == 3] == NEVER).all()
            assert usual(opened, found) == ("successes" if name == "minimal" else "attacked")
            assert minimal_norm(opened.header) == (name == "minimal")
            assert (found == NEVER).any() == (name != "made")
            assert (found == FAILURE).any() == (name in ("untargeted", "one class"))


def test_what_is_filtered_afterwards_keeps_its_outcomes_and_clean_images_have_none(run, model):
    run("attack", "--method", "deepfool", "--limit", "60")
    with ImageSet("adversarial.h5") as opened:
        wanted = outcomes(opened)
    assert run("defend", "adversarial.h5", "--method", "squeeze", "--bits", "2").code == 0
    with ImageSet("adversarial.filtered.h5") as opened:
        np.testing.assert_array_equal(outcomes(opened), wanted)
        assert usual(opened, wanted) == "successes"
    assert run("attack", "--method", "universal", "--eps", "0.2", "--limit", "20", "-o", "u.h5").code == 0
    with ImageSet("u.universal.h5") as opened:
        assert outcomes(opened) is None
        assert usual(opened, None) == "all"


def test_a_clean_set_is_not_believed_to_be_attacked(run, folder):
    """Its columns may have an attack's names; nobody has checked what they hold."""
    attacked_set.write("odd.h5", {"images": np.full((2, 1, 2, 2), 0.5), "labels": np.arange(2)}, kind="clean")
    with ImageSet("odd.h5") as opened:
        assert outcomes(opened) is None
        assert not minimal_norm(opened.header)
    ran = run("stats", "odd.h5", "--count", "0")
    assert ran.code == 0, ran.err
