"""Destruction rates: recomputed by the network's answers before and behind the filter."""

import numpy as np

from by_hand import check_rate, chosen, columns, probabilities


def test_rates_of_transforms_are_counts_of_images(drawn):
    """S2-S4: of the images that the attack broke, those that are right behind the filter; 0 of 0 is no number."""
    found, model = drawn("destruction", "half.h5", "one.h5", "fgsm.h5", "--top", "1,3"), "model.safetensors"
    attacked = columns("fgsm.h5")
    for path, name in (("half.h5", "gaussian sigma=0.5"), ("one.h5", "gaussian sigma=1.0")):
        file = columns(path)
        for k, end in ((1, ""), (3, "-top-3")):

            def right(images, labels, k=k):
                order = (-probabilities(model, images)).argsort(1)
                return (order[:, :k] == labels[:, None]).any(1)

            labels = file["labels"]
            before = right(attacked["originals"][attacked["original"]], labels)
            broken, after = before & ~right(attacked["images"], labels), right(file["images"], labels)
            for text in ("0", "0.05", "0.1", "0.2"):
                here = file["epsilon"] == np.float32(text)
                line = chosen(found, transform=name, epsilon=text, metric=f"destruction{end}")
                if (here & broken).any():
                    check_rate(line, (here & broken & after).sum(), (here & broken).sum())
                else:
                    assert (line["value"], line["n"]) == ("nan", "0")
    assert {one["set"] for one in found} == {"half.h5", "one.h5"}


def test_a_set_that_no_filter_made_is_refused(run, judged, tmp_path):
    ran = run("stats", "fgsm.h5", "--figure", "destruction", "-o", tmp_path / "out")
    assert (ran.code, "none of these is a filtered set" in ran.err) == (2, True)
