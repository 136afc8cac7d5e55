"""The share of images that are classified as the target."""

import json

import h5py
import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from advcli.datasets.digits import digits
from judged import figures, verdicts


def test_the_target_rate_counts_all_rows_and_those_of_other_classes():
    """S1-F5: over all images, over those whose class is not the target, and the base rate, with exact intervals."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        count = int(rng.integers(1, 40))
        labels, clean, answers, targets = rng.integers(0, 4, (4, count))
        answers[rng.random(count) < 0.1] = -1
        targets[rng.random(count) < 0.1] = -1
        found = {f.metric: f for f in figures("target-rate", verdicts(labels, answers, 4, clean=clean, targets=targets))}
        aimed = targets >= 0
        cases = {
            "target-rate": (answers == targets)[aimed],
            "target-rate-others": (answers == targets)[aimed & (labels != targets)],
            "target-class": (labels == targets)[aimed],
        }
        assert list(found) == list(cases)
        for name, hits in cases.items():
            one = found[name]
            assert (one.k, one.n) == (hits.sum(), len(hits))
            if one.n:
                exact = binomtest(one.k, one.n).proportion_ci(0.95, "exact")
                assert (one.value, one.low, one.high) == pytest.approx((hits.mean(), exact.low, exact.high), abs=1e-9)
            else:
                assert one.about["undefined"]


def test_an_image_with_several_targets_is_one_image():
    labels, targets = np.zeros(4, np.int64), np.array([1, 2, 1, 2])
    given = verdicts(labels, np.array([1, 2, 0, 2]), clean=labels, targets=targets, image=np.array([0, 0, 1, 1]))
    rate = figures("target-rate", given)[0]
    assert (rate.value, rate.n, rate.about) == (0.75, 2, {"rows": 4, "hits": 3})


def test_steps_cut_to_whole_levels_start_flat(run, model):
    """S1-F5: below one grey level, --rounding trunc leaves the originals and so the base rate; without it the images move."""
    data = digits("test")
    images = (data.batch(0, 60)[0] * 255).round().to(torch.uint8).numpy()
    np.savez("bytes.npz", images=images, labels=data.labels[:60])
    words = ["attack", "--method", "fgsm", "--data", "bytes.npz", "--target", "3", "--eps", "0.001,0.003,0.1"]
    for name, how in {"cut": ["--quantize", "--rounding", "trunc"], "whole": []}.items():
        ran = run(*words, *how, "-o", f"{name}.h5")
        assert ran.code == 0, ran.err
        with h5py.File(f"{name}.h5") as file:
            eps, labels, before, after = (file[key][:] for key in ("epsilon", "labels", "clean_prediction", "prediction"))
            moved = np.abs(as_float(file["images"]) - as_float(file["originals"])[file["original"][:]]).max((1, 2, 3)) > 0
        for low in (0.001, 0.003):
            rows = (eps == np.float32(low)) & (before == labels) & (labels != 3)
            assert moved[rows].all() if name == "whole" else not moved[rows].any()
        found = json.loads(run("evaluate", f"{name}.h5", "--metric", "target-rate", "--json").out)["rows"]
        rates = {(row["metric"], row["epsilon"]): row for row in found}
        for budget in (0.001, 0.003, 0.1):
            rows = eps == np.float32(budget)
            assert rates["target-rate", budget]["k"] == (after[rows] == 3).sum()
            assert rates["target-rate-others", budget]["n"] == (labels[rows] != 3).sum()
            assert rates["target-class", budget]["k"] == (labels[rows] == 3).sum()


def as_float(stored):
    return stored[:] / np.float32(255) if stored.dtype == np.uint8 else stored[:]
