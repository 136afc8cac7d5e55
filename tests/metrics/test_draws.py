"""Random models: every metric shows its spread over several draws, in the JSON and in every table."""

import json

import h5py
import numpy as np
import pytest
import torch

from advcli.catalog import discovery
from advcli.networks.model_file import read
from advcli.numerics.rng import Purpose, SampleRNG

OWN_DRAWS = ("certified", "verified")  # counted on noisy copies, and proved


@pytest.fixture
def random(run, model):
    """A random model, a set against it, and the same set behind a filter."""
    for words in (
        ["defend", "--method", "average", "--samples", "2"],
        ["attack", "--method", "fgsm", "--model", "defended.safetensors", "--eps", "0.1", "--limit", "60", "--eot", "1"],
        ["defend", "--method", "squeeze", "--bits", "3", "adversarial.h5", "-o", "behind.h5"],
    ):
        ran = run(*words)
        assert ran.code == 0, ran.err


def test_every_metric_of_a_random_model_shows_its_spread(run, random):
    """0.2: also where a table has its own form."""
    names = [name for name in discovery.names("metric") if name not in OWN_DRAWS]
    words = ["evaluate", "adversarial.h5", "behind.h5", "--model", "defended.safetensors",
             *(word for name in names for word in ("--metric", name))]  # fmt: skip
    found = json.loads(run(*words, "--draws", "4", "--json").out)["rows"]
    assert {"accuracy", "destruction", "category", "top-5", "transfer", "precision", "success"} <= {
        row["metric"] for row in found
    }
    for row in found:
        if row.get("undefined") or row["metric"] == "wrong-from-start":
            continue
        assert row["spread"]["draws"] == 4, row["metric"]
        assert row["spread"]["min"] <= row["value"] <= row["spread"]["max"]
    assert any(row["spread"]["min"] < row["spread"]["max"] for row in found if "spread" in row)


def test_the_spread_is_that_of_the_draws(run, random):
    """0.2: the accuracy of each draw, by the module alone."""
    words = ["evaluate", "adversarial.h5", "--model", "defended.safetensors", "--metric", "accuracy", "--metric", "transfer"]
    one, moved = json.loads(run(*words, "--draws", "3", "--json").out)["rows"]
    net = read("defended.safetensors").module()
    with h5py.File("adversarial.h5") as file, torch.no_grad():
        x, labels, index = torch.from_numpy(file["images"][:]), file["labels"][:], torch.from_numpy(file["index"][:])
        draws = [SampleRNG(1, index, (Purpose.EVALUATE, str(turn))) for turn in range(3)]
        right = np.array([(net(x, each).argmax(1).numpy() == labels).mean() for each in draws])
    assert (one["value"], one["spread"]["min"], one["spread"]["max"]) == pytest.approx((right[0], right.min(), right.max()))
    brackets = f"[{100 * moved['spread']['min']:.1f}-{100 * moved['spread']['max']:.1f}]"
    text = run(*words, "--draws", "3", "--wide").out
    assert f"[{100 * right.min():.1f}-{100 * right.max():.1f}]" in text
    assert brackets in text.partition("transfer: ")[2]
    assert "[ ]: the least and the largest of 3 draws, in percent" in text
    assert "[ ]" not in run(*words, "--draws", "1", "--wide").out
