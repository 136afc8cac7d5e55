"""What is imported is of unknown origin: its accuracy never passes for clean accuracy."""

import json
from pathlib import Path

import numpy as np


def test_an_adversarial_set_that_comes_back_is_not_clean(run, model):
    assert run("attack", "--method", "fgsm", "--limit", "20", "--eps", "0.01").code == 0
    assert run("export", "adversarial.h5").code == 0
    assert run("import", "adversarial.npz", "-o", "back.h5").code == 0
    told = run("evaluate", "back.h5", "--metric", "accuracy", "--json")
    (row,) = json.loads(told.out)["rows"]
    assert row["kind"] == "unknown"
    assert row["threat"]["knowledge"] == "unknown"
    assert "unknown origin" in run("evaluate", "back.h5", "--metric", "accuracy").out
    ran = run("evaluate", "back.h5", "--fail-under", "accuracy=0.1")
    assert ran.code == 2, "no clean accuracy was computed"
    assert run("evaluate", "--data", "back.h5", "--fail-under", "accuracy=0.1").code == 2
    ran = run("evaluate", "--data", "adversarial.npz")
    assert ran.code == 3
    assert "adversarial" in ran.err


def test_a_users_own_archive_is_clean_where_the_user_says_so(run, model):
    assert run("export", "model.safetensors").code == 0
    draw = np.random.default_rng(0)
    np.savez("own.npz", x=draw.random((12, 1, 8, 8), np.float32), y=np.arange(12) % 10)
    assert run("evaluate", "--data", "own.npz", "--fail-under", "accuracy=0").code == 0
    assert run("import", "own.npz", "-o", "own.h5").code == 0
    assert Path("own.h5").exists()
    assert run("evaluate", "own.h5", "--fail-under", "accuracy=0").code == 2
    assert run("train", "--data", "own.npz:train", "--arch", "softmax", "--epochs", "1", "-o", "t.safetensors").code == 0
