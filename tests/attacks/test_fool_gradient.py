"""Fooling pictures: every class out of nothing, one step by hand, the starts, every verb."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from advcli.files.imageset_reader import ImageSet
from blobs import Bent
from conftest import attacked


def test_a_picture_of_every_class_is_made_out_of_nothing():
    model, x = Bent(classes=4, scale=60), torch.rand(12, 1, 12, 12)
    made = attacked("fool-gradient", model, x, torch.zeros(12, dtype=torch.int64))
    assert (made["labels"] == -1).all()
    assert made["target"].tolist() == [*range(4)] * 3, "all classes in one batch"
    assert made["success"].all()
    assert (made["prediction"] == made["target"]).all()
    assert (made["clean_prediction"] == made["target"]).any(), "the class that it has by chance is a target like any other"
    assert (made["originals"] == x.numpy()).all()
    sure = model(torch.from_numpy(made["images"])).softmax(1).amax(1)
    assert (sure >= 0.9999 - 1e-5).all()
    assert (made["gradients"] < 500).all()


def test_what_is_asked_for_decides_when_a_fooling_picture_is_done():
    model, x = Bent(classes=4, scale=60), torch.rand(8, 1, 12, 12)
    half, most = (attacked("fool-gradient", model, x, torch.zeros(8).long(), options={"confidence": c}) for c in (0.5, 0.99999))
    assert half["success"].all()
    assert half["gradients"].sum() < most["gradients"].sum()
    short = attacked("fool-gradient", model, x, torch.zeros(8).long(), options={"steps": 3, "confidence": 0.0})
    assert ((short["gradients"] == 3) | (short["prediction"] == short["target"])).all()
    long = attacked("fool-gradient", model, x, torch.zeros(8).long(), options={"steps": 30}, early_stop=False)
    assert (long["gradients"] == 30).all()
    near = attacked("fool-gradient", model, x, torch.zeros(8).long(), options={"steps": 30, "penalty": 3.0}, early_stop=False)
    size = [np.square(one["images"] - one["originals"]).sum() for one in (near, long)]
    assert size[0] < 0.5 * size[1], "the penalty holds it near its beginning"


def test_one_step_of_fool_gradient_is_worked_out_by_hand():
    class Plane(nn.Module):
        def forward(self, x, draws=None):
            score = x.flatten(1) @ torch.tensor([3.0, 0.0, 0.0, -4.0])
            return torch.stack([score, 0 * score], 1)

    made = attacked(
        "fool-gradient", Plane(), torch.full((1, 1, 2, 2), 0.5), torch.zeros(1).long(), target="0", options={"steps": 1}
    )
    moved_by = 0.02 * np.array([3, 0, 0, -4]) / np.sqrt((9 + 16) / 4)
    np.testing.assert_allclose(made["images"].ravel(), 0.5 + moved_by, atol=1e-6)


@pytest.mark.parametrize(("init", "level"), [("noise", None), ("grey", 0.5), ("black", 0), ("white", 1)])
def test_what_fooling_pictures_start_from(run, model, init, level):
    ran = run("attack", "--method", "fool-gradient", "--init", init, "--count", "2", "--steps", "60")
    assert ran.code == 0, ran.err
    assert "target: all" in ran.err
    with ImageSet("adversarial.h5") as made:
        start = made.pick("originals", range(20))
        assert len(made) == 20
        assert made.column("target").tolist() == [*range(10)] * 2
        if level is None:
            assert abs(float(start.mean()) - 0.5) < 0.05
            assert len({bytes(one.numpy()) for one in start}) == 20
        else:
            assert (start == level).all()
    assert run("verify", "adversarial.h5", "perturbations.h5").code == 0
    shown = run("show", "adversarial.h5").out
    assert f"fool-gradient from {init}" in shown
    assert "--data" not in shown
    before = Path("adversarial.h5").read_bytes()
    line = next(line.split("command ")[1] for line in shown.splitlines() if "command " in line)
    Path("adversarial.h5").unlink()
    assert run(*shlex.split(line)[1:]).code == 0
    assert Path("adversarial.h5").read_bytes() == before


def test_fooling_sets_go_through_every_verb(run, model):
    assert run("attack", "--method", "fool-gradient", "--target", "3", "--count", "4", "--quantize").code == 0
    assert "8-bit pixels" in run("verify", "adversarial.h5").out
    assert run("stats").code == 0
    assert run("stats", "adversarial.h5", "--by", "label,target").code == 0
    assert run("export", "adversarial.h5", "-o", "pictures").code == 0
    assert run("defend", "adversarial.h5").code == 0
    assert run("attack", "--method", "fgsm", "--data", "adversarial.h5", "-o", "again.h5").code == 0
    assert run("verify", "again.h5", "adversarial.filtered.h5").code == 0
    assert run("train", "--data", "adversarial.h5", "-o", "new.safetensors").code == 3
    figures = {row["metric"]: row for row in json.loads(run("evaluate", "adversarial.h5", "--json").out)["rows"]}
    assert figures["accuracy"]["n"] == 0, "what has no label is neither right nor wrong"
    assert (figures["success"]["k"], figures["success"]["n"]) == (4, 4)
    sure = json.loads(run("evaluate", "adversarial.h5", "--json", "--metric", "confidence").out)["rows"]
    assert sure[0]["n"] == 4
    assert sure[0]["value"] > 0.999
    assert not any(row["metric"] == "overconfidence" for row in sure)
    for number in (1, 2):
        assert run("attack", "--method", "fgsm", "--limit", "5", "--seed", number, "-o", f"{number}.h5").code == 0
    table = json.loads(run("evaluate", "adversarial.h5", "1.h5", "2.h5", "--json").out)["rows"]
    assert any(row["metric"] == "robust_accuracy" for row in table), "what has no label does not hinder the worst case"


def test_fooling_pictures_pass_a_detector_or_fail_honestly(run, model):
    assert run("defend", "--method", "squeeze-detector").code == 0
    ran = run("attack", "--method", "fool-gradient", "--model", "defended.safetensors", "--count", "2")
    assert ran.code == 0, ran.err
    assert run("verify", "adversarial.h5").code == 0
    with ImageSet("adversarial.h5") as made:
        won, said, target = (made.column(name) for name in ("success", "prediction", "target"))
        assert (won.astype(bool) <= (said == target)).all()
        assert won.sum() >= 10, "the detector's term is climbed down too"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--data digits", "no option --data"),
        ("--limit 5", "no option --limit"),
        ("--label pred", "no option --label"),
        ("--eps 0.1", "no option --eps"),
        ("--target other", "starts without an image"),
        ("--step-size eps/10", "has no budget"),
        ("--init blue", "not one of noise"),
        ("--count 0", "outside"),
    ],
)
def test_fool_gradient_refuses_what_means_nothing(run, model, words, complaint):
    ran = run("attack", "--method", "fool-gradient", *words.split())
    assert ran.code == 2
    assert complaint in ran.err
    assert "no option --init" in run("attack", "--method", "fgsm", "--init", "grey").err
