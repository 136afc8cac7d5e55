"""A training that starts from a model, and one that stops for no reason of its own."""

import numpy as np
from PIL import Image

from advcli.catalog.requests import TrainRequest
from advcli.networks import model_file
from advcli.verbs.train import validation
from advcli.workspace import inputs


def test_a_stop_that_was_not_reached_is_said(run, folder):
    ran = run("train", "--arch", "softmax", "--stop-at", "1", "--epochs", "1", "--limit", "200")
    assert "warning: --stop-at 1: not reached in 1 epochs; --epochs gives more" in ran.err


def test_weights_of_a_model_bring_its_architecture(run, folder):
    assert run("train", "--arch", "mlp", "--hidden", "16", "--epochs", "1", "--limit", "200").code == 0
    ran = run("train", "--weights", "model.safetensors", "--epochs", "1", "--limit", "200", "-o", "second.safetensors")
    assert ran.code == 0, ran.err
    assert "architecture: mlp, that of model.safetensors" in ran.err
    found = model_file.read("second.safetensors").metadata["arch"]
    assert found == model_file.read("model.safetensors").metadata["arch"]
    assert "--arch mlp" in run("show", "second.safetensors").out
    ran = run("train", "--weights", "model.safetensors", "--arch", "cnn", "-o", "third.safetensors")
    assert "the weights do not fit the architecture" in ran.err


def test_pictures_without_labels_do_not_count_in_validation(run, folder):
    folder.joinpath("photos").mkdir()
    rows = ["file,label,split"]
    for k in range(60):
        split, label = ("val", "" if k % 2 else "ab"[k // 2 % 2]) if k < 20 else ("train", "ab"[k % 2])
        Image.fromarray(np.full((8, 8), 4 * k, np.uint8)).save(f"photos/{k}.png")
        rows.append(f"{k}.png,{label},{split}")
    folder.joinpath("photos/labels.csv").write_text("\n".join(rows))
    asked, _ = TrainRequest.read("train", {"data": "photos"})
    images = inputs.open_data("photos", "train", asked)
    found = validation(images, asked)
    assert len(found) == 10
    assert (found.labels >= 0).all()
