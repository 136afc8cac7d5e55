"""Box plots of the confidence: recomputed from the images by one call of the network."""

import numpy as np
import pytest

from by_hand import check_rate, chosen, columns, probabilities

PARTS = {"min": 0, "quartile_1": 0.25, "median": 0.5, "quartile_3": 0.75, "max": 1}


def test_boxes_are_the_quantiles_of_each_budget(drawn):
    """S1-F3, S2-K2: accuracy with its interval, quartiles and mean of the confidence, of all images and of successes."""
    file = columns("fgsm.h5")
    sure = probabilities("model.safetensors", file["images"]).max(1).astype(np.float64)
    right, before = file["prediction"] == file["labels"], file["clean_prediction"] == file["labels"]
    every, fooling = drawn("confidence", "fgsm.h5"), drawn("confidence", "fgsm.h5", "--among", "successes")
    for text in ("0", "0.05", "0.1", "0.2"):
        here = file["epsilon"] == np.float32(text)
        check_rate(chosen(every, epsilon=text), right[here].sum(), here.sum())
        for found, rows in ((every, here), (fooling, here & before & ~right)):
            line = chosen(found, epsilon=text)
            assert int(line["answered"]) == rows.sum()
            if rows.any():
                assert float(line["mean"]) == pytest.approx(sure[rows].mean(), abs=1e-6)
                assert [float(line[one]) for one in PARTS] == pytest.approx(
                    np.quantile(sure[rows], list(PARTS.values())), abs=1e-6
                )


def test_originals_stand_beside_and_nothing_gives_no_box(drawn, unlabelled):
    assert [one["of"] for one in drawn("confidence", "other.h5", "--model", "random.safetensors")] == ["originals", "all"]
    assert {one["median"] for one in drawn("confidence", unlabelled)} == {"nan"}
