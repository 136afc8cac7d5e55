"""What `import` says of weights and --data: the accuracy, and what is probably wrong with normalisation, channels or classes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from advcli.networks import model_file

BRIGHT = 0.5  # an image is "red" if its red is above this level; green and blue say nothing
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
TRAINED = {  # how the network saw its pixels in training: the factor, the mean, the deviation, and the place of red
    "plain": (1.0, torch.zeros(3), torch.ones(3), 0),
    "imagenet": (1.0, MEAN, STD, 0),
    "0..255": (255.0, torch.zeros(3), torch.ones(3), 0),
    "bgr": (1.0, torch.zeros(3), torch.ones(3), 2),
}


def levels(count, start=0):
    """Red, green and blue of some images, as bytes; the labels are balanced."""
    found = np.random.default_rng(start).integers(0, 256, (count, 3))
    found[:, 0] = np.where(np.arange(count) % 2, 128 + found[:, 0] // 2, found[:, 0] // 2)
    return found.astype(np.uint8), np.arange(count) % 2


def archive(count=400):
    colours, labels = levels(count)
    images = np.broadcast_to(colours[:, :, None, None], (count, 3, 4, 4)).copy()
    np.savez("own.npz", images=images, labels=labels, classes=np.array(["dark", "red"]))


def weights(trained):
    """A linear network that knows red exactly, for pixels as in its training."""
    factor, mean, std, place = TRAINED[trained]
    row = torch.zeros(3, 16)
    row[place] = 1 / 16
    edge = (factor * BRIGHT - mean[place]) / std[place]
    layer = {"1.weight": torch.stack([-row.flatten(), row.flatten()]), "1.bias": torch.stack([edge, -edge])}
    torch.save(layer, "w.pt")


def imported(run, *words):
    ran = run("import", "w.pt", "--arch", "softmax", "--data", "own.npz", *words)
    assert ran.code == 0, ran.err
    return ran.err


def test_a_network_with_its_own_normalisation_gets_its_accuracy_and_no_warning(run, folder):
    archive()
    weights("imagenet")
    said = imported(run, "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")
    assert "w.pt: clean accuracy on own.npz:test: 400 of 400 (100.0%, 95 % interval 99.1% to 100.0%)" in said
    assert "warning" not in said


@pytest.mark.parametrize(
    ("trained", "words", "cause", "way_on"),
    [
        ("imagenet", (), "ImageNet's means and deviations", "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"),
        ("plain", ("--mean", "0.5", "--std", "0.5"), "no normalisation", "--mean 0 --std 1"),
        ("0..255", (), "pixels in 0..255", "--mean 0 --std 1/255"),
        ("bgr", (), "channels in BGR", "swap the input channels of its weights"),
    ],
)
def test_another_normalisation_is_named_with_the_options_that_give_it(run, folder, trained, words, cause, way_on):
    archive()
    weights(trained)
    said = imported(run, *words)
    assert f"with {cause}, " in said
    assert way_on in said
    better, given = map(int, re.search(r", (\d+) of the same 400 images are right .* as it is (\d+) ", said).groups())
    assert better >= 395 > given
    if "--mean" in way_on:
        again = imported(run, *way_on.split(), "--force")
        assert f"{better} of 400" in again
        assert "probably trained so" not in again


def test_swapped_weights_are_a_network_of_the_other_order_of_channels(run, folder):
    archive()
    weights("bgr")
    found = torch.load("w.pt", weights_only=True)
    found["1.weight"] = found["1.weight"].view(2, 3, 16).flip(1).flatten(1)
    torch.save(found, "w.pt")
    assert "400 of 400" in imported(run)


def test_the_accuracy_of_chance_is_a_loud_warning(run, folder):
    archive()
    torch.save({"1.weight": torch.zeros(2, 48), "1.bias": torch.tensor([1.0, 0.0])}, "w.pt")
    said = imported(run)
    assert "warning: w.pt: 200 of 400 clean images are right (50.0%), no better than chance" in said
    assert "--mean or --std" in said
    assert "BGR" in said


def test_a_network_for_photographs_that_gets_small_images_is_told_so(run, folder):
    torch.save(torchvision.models.shufflenet_v2_x0_5(num_classes=2).state_dict(), "w.pt")
    told = {}
    for size in (32, 224):
        words = ("--arch", "shufflenet_v2_x0_5", "--classes", "a,b", "--input", f"3x{size}x{size}", "-o", f"{size}.safetensors")
        ran = run("import", "w.pt", *words)
        assert ran.code == 0, ran.err
        told[size] = "trained for about 224" in ran.err
    assert told == {32: True, 224: False}


def test_a_permuted_class_list_is_named_with_its_order(run, folder):
    archive()
    weights("plain")
    said = imported(run, "--classes", "red,dark")
    assert "the order of the classes looks permuted" in said
    assert "import it again with --classes dark,red" in said
    assert "permuted" not in imported(run, "--classes", "dark,red", "--force")


def test_another_number_of_classes_is_refused_with_both_numbers(run, folder):
    archive()
    torch.save({"1.weight": torch.zeros(3, 48), "1.bias": torch.zeros(3)}, "w.pt")
    ran = run("import", "w.pt", "--arch", "softmax", "--data", "own.npz")
    assert ran.code == 2
    assert "--data own.npz: has 2 classes, and softmax has 3 outputs; name all of them with --classes" in ran.err


def test_data_of_another_shape_is_told_and_the_weights_come_in(run, folder):
    archive()
    torch.save({"1.weight": torch.zeros(2, 75), "1.bias": torch.zeros(2)}, "w.pt")
    said = imported(run, "--input", "3x5x5")
    assert "its accuracy was not measured: own.npz: images are 3x4x4" in said


@pytest.mark.parametrize("told", ["photos", "photos/test", "photos:test"])
def test_a_folder_that_import_was_told_of_is_found_again_by_attack(run, folder, told):
    colours, labels = levels(48, start=1)
    for split in ("train", "test"):
        for k, (colour, label) in enumerate(zip(colours, labels, strict=True)):
            place = Path("photos", split, ("dark", "red")[label])
            place.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), tuple(map(int, colour))).save(place / f"{k}.png")
    weights("plain")
    ran = run("import", "w.pt", "--arch", "softmax", "--data", told)
    assert ran.code == 0, ran.err
    assert "48 of 48 (100.0%" in ran.err
    assert model_file.read("model.safetensors").metadata["data"]["name"] == "folder"
    ran = run("attack", "--method", "fgsm")
    assert ran.code == 0, ran.err
    assert ":test, 48 images" in ran.err


def test_no_figure_of_a_model_at_chance_stands_without_a_warning(run, folder):
    archive(40)
    weights("0..255")
    assert run("import", "w.pt", "--arch", "softmax", "--classes", "dark,red").code == 0
    for eps in ("8/255", "16/255"):
        ran = run("attack", "--method", "fgsm", "--data", "own.npz", "--eps", eps, "-o", f"{eps[:-4]}.h5")
        assert "warning: 20 of 40 clean images are right (50.0%), no better than chance" in ran.err
        assert "--mean or --std" in ran.err
    again = run("attack", "--method", "fgsm", "--data", "own.npz", "--eps", "16/255", "-o", "16.h5")
    assert "no better than chance" in again.err
    report = run("evaluate", "8.h5", "16.h5", "--fail-under", "robust_accuracy=0.1", "--json")
    assert report.err.count("warning: model.safetensors: 20 of 40 clean images are right") == 1
    rows = json.loads(report.out)["rows"]
    assert {row["metric"] for row in rows} >= {"accuracy", "robust_accuracy", "success"}
    assert all(any("no better than chance" in note for note in row["threat"]["notes"]) for row in rows)
    clean = run("evaluate", "--data", "own.npz")
    assert "no better than chance" in clean.err
    assert "no better than chance" in clean.out


def test_a_permuted_model_is_named_by_attack_and_evaluate(run, folder):
    archive(60)
    weights("plain")
    assert run("import", "w.pt", "--arch", "softmax", "--classes", "red,dark").code == 0
    ran = run("attack", "--method", "fgsm", "--data", "own.npz")
    assert "and 100.0% in another order; import it again with --classes dark,red" in ran.err
    assert "import it again with --classes dark,red" in run("evaluate", "adversarial.h5").err


@pytest.mark.parametrize("trained", TRAINED)
def test_weights_without_data_are_told_that_nothing_was_measured(run, folder, trained):
    weights(trained)
    ran = run("import", "w.pt", "--arch", "softmax", "--input", "3x4x4", "--classes", "dark,red")
    assert ran.code == 0, ran.err
    assert "warning: w.pt: its accuracy was not measured, so that a wrong --mean or --std" in ran.err
    assert "give --data" in ran.err


@pytest.mark.parametrize(
    ("trained", "classes", "told"),
    [
        ("0..255", "dark,red", "no better than chance"),
        ("bgr", "dark,red", "channels in BGR"),
        ("plain", "red,dark", "import it again with --classes dark,red"),
    ],
)
def test_the_first_attack_names_what_import_was_not_given_the_images_to_see(run, folder, trained, classes, told):
    archive(200)
    weights(trained)
    assert run("import", "w.pt", "--arch", "softmax", "--input", "3x4x4", "--classes", classes).code == 0
    ran = run("attack", "--method", "fgsm", "--data", "own.npz")
    assert told in ran.err
    assert told in run("evaluate", "adversarial.h5").err


def test_another_number_of_classes_is_named_by_the_first_attack(run, folder):
    archive(60)
    torch.save({"1.weight": torch.zeros(3, 48), "1.bias": torch.zeros(3)}, "w.pt")
    assert run("import", "w.pt", "--arch", "softmax", "--input", "3x4x4").code == 0
    ran = run("attack", "--method", "fgsm", "--data", "own.npz")
    assert ran.code == 3
    assert "own.npz: its classes dark, red are none of model.safetensors's: 0, 1, 2" in ran.err
    assert "model.safetensors has 3 classes, the data 2: give the data that it was made for" in ran.err
    torch.save({"1.weight": torch.zeros(2, 48), "1.bias": torch.zeros(2)}, "w.pt")
    assert run("import", "w.pt", "--arch", "softmax", "--input", "3x4x4", "--force").code == 0
    ran = run("attack", "--method", "fgsm", "--data", "own.npz")
    assert "if they are the same in this order, advcli import it again with --classes dark,red" in ran.err
