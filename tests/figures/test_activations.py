"""Differences of activations by layer, recomputed layer by layer."""

import csv

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import attacked_set
from advcli.evaluation.selected_rows import SelectedRows, select
from advcli.figures.activations import activations
from advcli.files.imageset_reader import ImageSet
from advcli.networks.classifier import Dropout
from judged_modules import judge_of

CLASSES = ("a", "b", "c")


def chosen(opened: ImageSet, rows: str | None = None) -> SelectedRows:
    return select(opened, of=None, by="none", where=None, rows=rows)


class Shared(nn.Module):
    """A ReLU in place at two places, dropout, and a layer whose outputs have other rows than the images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.first = nn.Linear(36, 8)
        self.drop = Dropout(0.5)
        self.mixed = nn.Identity()
        self.turned = nn.Linear(8, 8)
        self.last = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(self.relu(self.conv(x)).flatten(1)))
        seen = self.turned(torch.stack([x, 2 * x, 3 * x, 4 * x]))  # (4, images, 8): tokens first
        return self.last(self.drop(seen[0]))


@pytest.fixture
def pairs(folder) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    clean = draw.random((12, 1, 3, 3), dtype=np.float32)
    clean[0] = 0
    place = np.repeat(np.arange(12), 2)
    epsilon = np.tile(np.array([0.1, 0.2], np.float32), 12)
    moved = (clean[place] + draw.uniform(-1, 1, (24, 1, 3, 3)) * epsilon[:, None, None, None]).clip(0, 1)
    attacked_set.write("a.h5", {"images": moved, "originals": clean, "original": place, "labels": place % 3, "epsilon": epsilon},
                       norm="linf", epsilon=["0.1", "0.2"])  # fmt: skip
    with h5py.File("a.h5") as file:
        return {name: file[name][:] for name in file}


def outputs(net: Shared, x: np.ndarray) -> dict[str, np.ndarray]:
    """What each layer gives, computed without hooks; both passes of the ReLU side by side."""
    with torch.no_grad():
        found = {"image": torch.from_numpy(x), "conv": net.conv(torch.from_numpy(x))}
        above = found["conv"].clamp(min=0)
        found["first"] = net.first(above.flatten(1))
        found["relu"] = torch.cat([above.flatten(1), found["first"].clamp(min=0)], 1)
        found["last"] = found["logits"] = net.last(net.turned(found["first"].clamp(min=0)))
    return {name: values.double().flatten(1).numpy() for name, values in found.items()}


@pytest.mark.parametrize("batch", [64, 2, 7])
def test_every_layer_is_compared_as_numpy_compares_it(pairs, batch):
    """S2-F2: clean against adversarial activations by layer, l2 and cosine; the same for any batch."""
    net = Shared().eval()
    judge = judge_of(net, (1, 3, 3), CLASSES)
    judge.batch = batch
    with ImageSet("a.h5") as opened:
        found = activations(chosen(opened), judge).rows
    clean, moved = outputs(net, pairs["originals"][pairs["original"]]), outputs(net, pairs["images"])
    names = [row["layer"].removeprefix("network.") for row in found if row["epsilon"] == "0.1"]
    assert names == ["image", "conv", "relu", "first", "last", "logits"], "in order; the mixed layer has no row of images"
    for row in found:
        here = np.isclose(pairs["epsilon"], float(row["epsilon"]))
        x, y = (one[row["layer"].removeprefix("network.")][here] for one in (clean, moved))
        apart, size = np.linalg.norm(y - x, axis=1), np.linalg.norm(x, axis=1)
        known = size > 0
        assert row["undefined"] == (~known).sum() == (row["layer"] == "image")
        assert row["rows"] == 12
        assert row["difference"] == pytest.approx(np.median(apart), rel=1e-5)
        low, middle, high = np.quantile(apart[known] / size[known], (0.25, 0.5, 0.75))
        assert (row["lower quartile"], row["relative"], row["upper quartile"]) == pytest.approx((low, middle, high), rel=1e-5)
        cosine = (x * y).sum(1)[known] / (size * np.linalg.norm(y, axis=1))[known]
        assert row["cosine"] == pytest.approx(np.median(cosine), abs=1e-6)


def test_a_random_model_sees_both_images_with_the_same_draws(pairs):
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 6), Dropout(0.5), nn.Linear(6, 3))
    judge = judge_of(net, (1, 3, 3), CLASSES, ("dropout-vote", {"passes": 30}))
    attacked_set.write("same.h5", {"images": pairs["originals"], "originals": pairs["originals"], "labels": np.arange(12) % 3})
    with ImageSet("same.h5") as opened:
        found = activations(chosen(opened), judge).rows
    assert [row["type"] for row in found] == ["", "Linear", "Linear", ""]
    assert all(row["relative"] < 1e-6 for row in found)


def test_nothing_selected_and_a_model_without_layers(pairs, run):
    judge = judge_of(Shared(), (1, 3, 3), CLASSES)
    with ImageSet("a.h5") as opened:
        assert activations(chosen(opened, "failures"), judge).rows == []
    assert run("train", "--arch", "tree", "--limit", "200", "-o", "model.safetensors").code == 0
    assert run("attack", "--method", "noise", "--limit", "5").code == 0
    ran = run("stats", "adversarial.h5", "--figure", "activations", "-o", "out")
    assert ran.code == 0, ran.err
    with open("out/activations.csv") as file:
        assert [row["layer"] for row in csv.DictReader(file)] == ["image", "network", "logits"]
