"""Training again on adversarial sets: what it brings, and which sets are refused."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from advcli.files.imageset_reader import ImageSet
from advcli.images.dataset import Dataset
from advcli.images.joined import joined
from advcli.networks import model_file
from forged import forge

BASE = ("train", "--arch", "mlp", "--epochs", "2", "-o", "base.safetensors")
FGSM = ("attack", "--method", "fgsm", "--no-perturbations", "--model")
AGAIN = ("train", "--weights", "base.safetensors", "--augment-adv", "made.h5")


def accuracy(run, *words):
    rows = json.loads(run("evaluate", *words, "--metric", "accuracy", "--json").out)["rows"]
    return rows[-1]["value"]


def test_new_fgsm_images_are_met_better_and_pgd_stands_beside(run, folder):
    """S0-D0 and S3-D5: training again on adversarial images of the training split, with the proper label."""
    run("train", "--arch", "cnn", "--epochs", "6", "-o", "base.safetensors")
    assert run(*FGSM, "base.safetensors", "--data", "digits:train", "--eps", "0.1", "-o", "made.h5").code == 0
    ran = run(*AGAIN, "--epochs", "6", "-o", "again.safetensors")
    assert ran.code == 0, ran.err
    assert "made.h5: 1167 adversarial images beside the 1167 of digits" in ran.err
    assert json.loads(Path("again.log.jsonl").read_text().splitlines()[0])["images"] == 2334
    found = {}
    for name, *words in (("base", "fgsm"), ("again", "fgsm"), ("again", "pgd", "--steps", "40")):
        run("attack", "--method", *words, "--eps", "0.1", "--model", f"{name}.safetensors", "-o", "new.h5", "--force")
        found[name, words[0]] = accuracy(run, "new.h5", "--model", f"{name}.safetensors")
    print(found)
    assert found["again", "fgsm"] >= found["base", "fgsm"] + 0.1
    assert found["again", "pgd"] < found["again", "fgsm"]


def test_only_a_set_of_the_same_training_images_with_their_labels_is_taken(run, folder):
    """S0-D0: test adversarials never enter training; index, split and label are those of the training split."""
    run("train", "--arch", "softmax", "--epochs", "2", "-o", "base.safetensors")
    for split in ("train", "val", "test"):
        assert run(*FGSM, "base.safetensors", "--data", f"digits:{split}", "--limit", "20", "-o", f"{split}.h5").code == 0
    np.savez("plain.npz", images=np.arange(2560, dtype=np.uint8).reshape(40, 1, 8, 8), labels=np.arange(40) % 10, split="train")
    assert run("import", "plain.npz", "--split", "train", "-o", "plain.h5").code == 0
    assert run(*FGSM, "base.safetensors", "--data", "plain.h5", "-o", "other.h5").code == 0
    val = ImageSet("val.h5").column("index")
    forge("train.h5", lambda header, found: found["index"].__setitem__(3, val[0]), "foreign.h5")
    forge("train.h5", lambda header, found: found["labels"].__setitem__(4, (found["labels"][4] + 1) % 10), "wrong.h5")
    for name, says in (
        ("val", "was made from the val split"),
        ("test", "was made from the test split"),
        ("plain", "--augment-adv takes an adversarial set"),
        ("other", "was made from file:train, and not from digits:train"),
        ("foreign", f"row 3: image {val[0]} is not in the training split of digits"),
        ("wrong", "row 4: its label is not that of image"),
        ("nowhere", "no such file"),
    ):
        ran = run("train", "--arch", "softmax", "--epochs", "1", "--augment-adv", f"{name}.h5")
        assert ran.code == 3, (name, ran.err)
        assert says in ran.err, ran.err
        assert not Path("model.safetensors").exists()


def test_the_header_names_the_sets_and_the_shown_command_makes_the_same_bytes(run, folder):
    run(*BASE)
    run(*FGSM, "base.safetensors", "--data", "digits:train", "--limit", "30", "-o", "made.h5")
    run("attack", "--model", "base.safetensors", "--steps", "3", "--data", "digits:train", "--limit", "9", "-o", "more.h5")
    assert run(*AGAIN, "--augment-adv", "more.h5", "--arch", "mlp", "--limit", "90", "--epochs", "2").code == 0
    first = Path("model.safetensors").read_bytes()
    roles = [one["role"] for one in model_file.read("model.safetensors").metadata["made"]["parents"]]
    assert roles == ["weights", "augment-adv", "augment-adv"]
    shown = next(line for line in run("show", "model.safetensors").out.splitlines() if line.strip().startswith("command"))
    assert "--augment-adv made.h5 --augment-adv more.h5" in shown
    Path("model.safetensors").unlink()
    assert run(*shlex.split(shown.split("advcli ", 1)[1])).code == 0
    assert Path("model.safetensors").read_bytes() == first


@pytest.mark.parametrize("places", [[0, 1, 2, 3, 4, 5, 6], [6, 2, 2, 0, 5], [4], []])
def test_joined_sets_are_read_at_their_places(places):
    def part(name: str, values: list[int]) -> Dataset:
        pixels = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
        return Dataset.of_bytes(name, "train", ("a",), pixels, np.zeros(len(values), np.int64), np.array(values), {"name": name})

    whole = joined(part("first", [10, 11, 12]), [part("second", [20]), part("third", [30, 31, 32])])
    found = whole.read(np.array(places, np.int64))
    assert whole.name == "first"
    assert found.shape == (len(places), 1, 2, 2)
    assert (found[:, 0, 0, 0] * 255).round().tolist() == [whole.index[k] for k in places]
