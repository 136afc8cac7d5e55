"""`--part K/N`: parts of a data set that share no image and have equal shares of every class."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from advcli.catalog.request_parts import Selection
from advcli.images.dataset import dealt
from advcli.networks import model_file
from advcli.workspace import inputs

DRAW = np.random.default_rng(3)
LABELS = {
    "sorted": np.arange(4).repeat([40, 31, 7, 2]),
    "mixed": DRAW.integers(0, 10, 503),
    "unlabelled": np.full(50, -1),
    "one": np.zeros(1, np.int64),
}


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("count", [1, 2, 5, 60])
def test_parts_are_disjoint_and_whole_and_have_equal_shares_of_every_class(name, count):
    """S2-S2: subsets are disjoint."""
    labels = LABELS[name]
    parts = [dealt(labels, np.arange(len(labels)), number, count) for number in range(1, count + 1)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for each in (parts, *([part[labels[part] == one] for part in parts] for one in np.unique(labels))):
        sizes = [len(part) for part in each]
        assert max(sizes) - min(sizes) <= 1
        assert all((np.diff(part) > 0).all() for part in each)  # in their order


def test_all_rows_of_one_image_are_in_one_part():
    index = np.array([7, 3, 9, 7, 3, 9, 7, 3, 9])
    parts = [dealt(np.zeros(9, np.int64), index, number, 3) for number in (1, 2, 3)]
    assert [set(index[part]) for part in parts] == [{7}, {3}, {9}]


def test_a_limit_is_of_the_part():
    chosen = [inputs.open_data("digits", "train", Selection(part=part, limit=100)) for part in ("1/3", "2/3", "3/3")]
    assert [len(one) for one in chosen] == [100, 100, 100]
    assert len(set(np.concatenate([one.index for one in chosen]).tolist())) == 300
    assert chosen[1].origin["part"] == "2/3"


def test_a_model_of_a_part_says_so_and_is_validated_on_all_validation_images(run, folder):
    ran = run("train", "--arch", "softmax", "--epochs", "1", "--part", "2/5")
    assert ran.code == 0, ran.err
    assert "digits:train: 234 of 1167 images, part 2/5: 22 to 24 of each of 10 classes" in ran.err
    found = model_file.read("model.safetensors").metadata
    assert found["data"]["part"] == "2/5"
    assert found["figures"]["accuracy"]["n"] == 130
    first = Path("model.safetensors").read_bytes()
    shown = next(line for line in run("show", "model.safetensors").out.splitlines() if line.strip().startswith("command"))
    assert "--part 2/5" in shown
    Path("model.safetensors").unlink()
    assert run(*shlex.split(shown.split("advcli ", 1)[1])).code == 0
    assert Path("model.safetensors").read_bytes() == first
    assert run("attack", "--method", "fgsm", "--limit", "9").code == 0  # of the test images: the part is of the training


def test_a_set_of_a_part_is_verified_against_it(run, model):
    assert run("attack", "--method", "fgsm", "--part", "1/50", "-o", "part.h5").code == 0
    ran = run("verify", "part.h5")
    assert ran.code == 0, ran.out
    assert "as its header says: 10 of 500" in ran.out


def test_adversarial_images_of_another_part_do_not_enter_training(run, model):
    for part in ("1/30", "2/30"):
        words = ("--data", "digits:train", "--part", part, "-o", f"{part[0]}.h5", "--no-perturbations")
        assert run("attack", "--method", "fgsm", *words).code == 0
    words = ("train", "--arch", "softmax", "--epochs", "1", "--part", "1/30", "-o", "again.safetensors", "--augment-adv")
    assert run(*words, "1.h5").code == 0
    ran = run(*words, "2.h5")
    assert ran.code == 3
    assert "is not in part 1/30 of the training split of digits" in ran.err


@pytest.mark.parametrize("part", ["0/5", "6/5", "1", "1/0", "a/b", "1/5/2", "01/5", "-1/5", "1/9999999"])
def test_a_part_that_there_is_not_is_refused(run, folder, part):
    ran = run("train", f"--part={part}")
    assert ran.code == 2
    assert ran.err.strip() == f"advcli: --part {part}: expected K/N, the K-th of N parts, such as 1/5"


def test_a_part_without_an_image_is_refused(run, folder):
    ran = run("train", "--part", "9000/9000")
    assert ran.code == 3
    assert "digits:train: the selection leaves no image" in ran.err
