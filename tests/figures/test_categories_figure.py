"""Kinds of outcomes: recomputed from the set and the network's probabilities."""

import numpy as np

from by_hand import check_rate, chosen, columns, probabilities


def ranked(path: str, images: np.ndarray) -> np.ndarray:
    """The place of every class in an image, 0 for the best."""
    return (-probabilities(path, images)).argsort(1).argsort(1)


def test_kinds_exclude_each_other_and_have_exact_intervals(drawn, unlabelled):
    """S2-S1: benign, then refocused (both classes among the 3 best before and after), then true; counts sum to n."""
    found, file, model = drawn("categories", "fgsm.h5"), columns("fgsm.h5"), "model.safetensors"
    places, labels, said = np.arange(len(file["labels"])), file["labels"], file["prediction"]
    before, after = file["clean_prediction"] == labels, said == labels
    clean = ranked(model, file["originals"])[file["original"]]
    sure = probabilities(model, file["images"]).max(1) >= 0.5
    refocused = before & ~after & (clean[places, said] < 3) & (ranked(model, file["images"])[places, labels] < 3)
    kinds = {"benign": ~before & after & sure, "refocused": refocused, "true": before & ~after & ~refocused,
             "unchanged": before & after, "wrong-to-wrong": ~before & ~after, "wrong-to-right": ~before & after & ~sure}  # fmt: skip
    for text in ("0", "0.05", "0.1", "0.2"):
        here = file["epsilon"] == np.float32(text)
        for name, rows in kinds.items():
            check_rate(chosen(found, epsilon=text, category=name), (here & rows).sum(), here.sum())
    assert len(found) == 4 * len(kinds)
    assert {one["value"] for one in drawn("categories", unlabelled)} == {"nan"}


def test_groups_of_classes_make_conatural_rows(drawn, tmp_path):
    """S2-S1: with a user's groups there are conatural rows; a minimal attack has one place, without a budget."""
    (tmp_path / "groups.json").write_text('{"low": ["0", "1", "2", "3", "4"], "high": ["5", "6", "7", "8", "9"]}')
    words = ("--superclass", tmp_path / "groups.json", "--refocused", "1")
    found, file = drawn("categories", "deepfool.h5", *words), columns("deepfool.h5")
    labels, said = file["labels"], file["prediction"]
    broken = (file["clean_prediction"] == labels) & (said != labels)
    check_rate(chosen(found, category="conatural"), (broken & ((labels < 5) == (said < 5))).sum(), len(labels))


def test_a_confidence_above_one_is_refused(run, judged, tmp_path):
    ran = run("stats", "fgsm.h5", "--figure", "categories", "--tau", "2", "-o", tmp_path / "out")
    assert (ran.code, "--tau" in ran.err) == (2, True)
