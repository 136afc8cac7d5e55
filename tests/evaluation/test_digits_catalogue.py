"""What the digits show: our models and attacks against an independent plain-torch loop, three seeds each.

DG1 and DG2 of the catalogue were measured on another split; the loop below, which shares no code with the program,
measures them on ours. Every figure of ours must lie within 0.06 of the range of the loop's three seeds, which is the
catalogue's own tolerance, and within 0.06 of the catalogue's range for the clean accuracy.
"""

import json

import numpy as np
import pytest

from plain_loop import ARCHS, EPS, SEEDS, plain_loop

TOLERANCE = 0.06
CLEAN = {"mlp": (0.971, 0.976), "cnn": (0.976, 0.982)}


@pytest.mark.parametrize("arch", ARCHS)
def test_clean_fgsm_and_pgd_agree_with_a_plain_torch_loop(arch, run, folder):
    """DG1, DG2."""
    loop = plain_loop(arch)
    budgets = ",".join(map(str, EPS))
    ours = []
    for seed in SEEDS:
        assert run("train", *ARCHS[arch], "--epochs", "40", "--seed", seed, "--force").code == 0
        run("attack", "--method", "fgsm", "--eps", budgets, "-o", "fgsm.h5", "--force")
        run("attack", "--method", "pgd", "--eps", budgets, "--no-early-stop", "-o", "pgd.h5", "--force")
        clean = json.loads(run("evaluate", "--data", "digits:test", "--json").out)["rows"]
        rows = json.loads(run("evaluate", "fgsm.h5", "pgd.h5", "--metric", "accuracy", "--json").out)["rows"]
        accuracies = [row for row in rows if row["metric"] == "accuracy"]
        curve = {name: [row["value"] for row in accuracies if row["set"] == name] for name in ("fgsm.h5", "pgd.h5")}
        ours.append((clean[0]["value"], curve["fgsm.h5"], curve["pgd.h5"]))
    low, high = CLEAN[arch]
    for name, mine, theirs in zip(("clean", "fgsm", "pgd"), zip(*ours, strict=True), zip(*loop, strict=True), strict=True):
        mine, theirs = np.atleast_2d(np.array(mine).T).T, np.atleast_2d(np.array(theirs).T).T
        print(
            f"{arch} {name}: ours {mine.min(0).round(3)} to {mine.max(0).round(3)}, loop {theirs.min(0).round(3)} to {theirs.max(0).round(3)}"
        )
        assert (mine.mean(0) >= theirs.min(0) - TOLERANCE).all()
        assert (mine.mean(0) <= theirs.max(0) + TOLERANCE).all()
    assert low - TOLERANCE <= np.mean([clean for clean, _, _ in ours]) <= high + TOLERANCE
    assert all(p <= f + 1e-9 for _, fgsm, pgd in ours for f, p in zip(fgsm, pgd, strict=True))


def test_smoothing_helps_up_to_three_quarters_of_a_pixel_only(run, folder):
    """DG4 on 8x8: a wider kernel costs more clean accuracy than smoothing can give back."""
    run("train", *ARCHS["mlp"], "--epochs", "40")
    clean = {}
    for sigma in (0, 0.5, 0.75, 1.5):
        run("defend", "--method", "gaussian", "--sigma", sigma, "--force")
        found = json.loads(run("evaluate", "--model", "defended.safetensors", "--data", "digits:test", "--json").out)["rows"]
        clean[sigma] = found[0]["value"]
    print(clean)
    assert clean[0.5] >= clean[0] - 0.03
    assert clean[0.75] >= 0.85
    assert clean[1.5] < clean[0.75] - 0.2
