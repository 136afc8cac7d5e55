"""`train --fooling FILE`: pictures made from nothing as a class of their own."""

import contextlib
import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from advcli.cli.app import main
from advcli.files.imageset_reader import ImageSet
from advcli.images.dataset import FOOLING
from advcli.networks import model_file
from advcli.workspace import inputs

FOOL = ("attack", "--method", "fool-gradient", "--target", "all", "--steps", "60", "--no-perturbations", "--quiet")
TRAIN = ("train", "--weights", "model.safetensors", "--epochs", "5", "--quiet")


@pytest.fixture(scope="module")
def made(tmp_path_factory, small_model) -> Path:
    """Fooling pictures of the small model, by two seeds, and a model that was trained on those of one."""
    root = tmp_path_factory.mktemp("fooling")
    shutil.copy(small_model, root / "model.safetensors")
    with contextlib.chdir(root):
        for seed, count in (("1", "15"), ("2", "4")):
            assert main([*FOOL, "--count", count, "--seed", seed, "-o", f"fool{seed}.h5"]) == 0
        assert main([*TRAIN, "--fooling", "fool1.h5", "-o", "eleven.safetensors"]) == 0
    return root


@pytest.fixture
def there(made, folder) -> None:
    """A copy of them in the folder that the test stands in."""
    shutil.copytree(made, folder, dirs_exist_ok=True)


def figures(run, *words) -> dict[str, float]:
    ran = run("evaluate", *words, "--json")
    assert ran.code == 0, ran.err
    assert "there is none of" not in ran.err, ran.err
    return {row["metric"]: row["value"] for row in json.loads(ran.out)["rows"]}


def predictions(file: str) -> np.ndarray:
    """The decisions of the model of eleven classes on a set."""
    with ImageSet(Path(file)) as opened, torch.no_grad():
        x = opened.rows("images", 0, len(opened))
        return model_file.read("eleven.safetensors").module()(x, None).argmax(1).numpy()


def test_new_fooling_pictures_of_the_old_model_fall_into_the_class(run, there):
    """S2-D0: an eleventh class of fooling pictures; images of the data stay right, or nearly."""
    assert model_file.read("eleven.safetensors").classes == (*map(str, range(10)), FOOLING)
    before, after = (figures(run, "--model", f"{one}.safetensors", "--data", "digits") for one in ("model", "eleven"))
    assert after["accuracy"] >= before["accuracy"] - 0.03
    assert figures(run, "fool2.h5", "--model", "model.safetensors")["success"] >= 0.9
    assert figures(run, "fool2.h5", "--model", "eleven.safetensors")["success"] <= 0.1
    assert (predictions("fool2.h5") == 10).mean() >= 0.9


def test_a_digit_that_is_taken_for_a_fooling_picture_is_wrong(run, there):
    """S2-D0: the class counts as any other: its images are no rejections, and none is left out."""
    words = ("--target", FOOLING, "--eps", "0.5", "--limit", "30", "--model", "eleven.safetensors")
    assert run("attack", *words).code == 0
    said, seen = predictions("adversarial.h5"), figures(run, "adversarial.h5", "--model", "eleven.safetensors")
    with ImageSet(Path("adversarial.h5")) as opened:
        labels, right = opened.column("labels"), opened.column("clean_prediction") == opened.column("labels")
    assert (said == 10).sum() >= 10
    assert seen["accuracy"] == (said == labels).mean()
    assert seen["success"] == pytest.approx((said == 10)[right].mean())
    printed = run("evaluate", "adversarial.h5", "--model", "eleven.safetensors", "--json").out
    assert not [row for row in json.loads(printed)["rows"] if row["metric"] == "coverage"]


def test_the_class_has_no_images_in_the_data_and_nothing_complains_of_it(run, there):
    ran = run("attack", "--method", "fgsm", "--data", "digits", "--model", "eleven.safetensors", "--limit", "20")
    assert ran.code == 0, ran.err
    assert "warning" not in ran.err, ran.err
    found = inputs.open_data("digits", "test", known=("3", "7", FOOLING))
    assert found.classes == ("3", "7")


def test_an_adversarial_set_of_the_wider_model_is_trained_on_again(run, there):
    words = ("--data", "digits:train", "--limit", "20", "--model", "eleven.safetensors", "-o", "made.h5")
    assert run("attack", "--method", "fgsm", *words).code == 0
    ran = run(*TRAIN[:-1], "--limit", "50", "--fooling", "fool1.h5", "--fooling", "fool2.h5", "--augment-adv", "made.h5")
    assert ran.code == 2, ran.err  # model.safetensors is there
    ran = run(*TRAIN[:-1], "--limit", "50", "--fooling", "fool1.h5", "--fooling", "fool2.h5", "--augment-adv", "made.h5",
              "-o", "both.safetensors")  # fmt: skip
    assert ran.code == 0, ran.err
    assert "fool1.h5: 150 pictures of the class fooling beside the 50 images of digits" in ran.err
    first = Path("both.safetensors").read_bytes()
    said = [one["role"] for one in model_file.read("both.safetensors").metadata["made"]["parents"]]
    assert said == ["weights", "augment-adv", "fooling", "fooling"]
    shown = next(line for line in run("show", "both.safetensors").out.splitlines() if line.strip().startswith("command"))
    Path("both.safetensors").unlink()
    assert run(*shlex.split(shown.split("advcli ", 1)[1])).code == 0
    assert Path("both.safetensors").read_bytes() == first


def test_only_pictures_made_from_nothing_are_taken(run, there):
    assert run("attack", "--method", "fgsm", "--data", "digits:train", "--limit", "9", "-o", "made.h5").code == 0
    assert run("defend", "fool2.h5", "--method", "squeeze").code == 0
    for name, says in (
        ("made.h5", "holds adversarial images that were made from others"),
        ("fool2.filtered.h5", "holds filtered images that were made from others"),
        ("nowhere.h5", "--fooling nowhere.h5: no such file"),
    ):
        ran = run("train", "--arch", "softmax", "--fooling", name, "-o", "other.safetensors")
        assert ran.code == 3, (name, ran.err)
        assert says in ran.err, ran.err
    ran = run("train", "--arch", "tree", "--fooling", "fool2.h5", "-o", "other.safetensors")
    assert ran.code == 2
    assert "tree has no option --fooling" in ran.err
    pixels = np.arange(720, dtype=np.uint8).reshape(20, 1, 6, 6)
    np.savez("small.npz", images=pixels, labels=np.arange(20) % 2, split="train")
    ran = run("train", "--arch", "softmax", "--data", "small.npz", "--fooling", "fool2.h5", "-o", "other.safetensors")
    assert ran.code == 3
    assert "fool2.h5: pictures are 1x8x8 (channels, height, width), those of small.npz 1x6x6" in ran.err
