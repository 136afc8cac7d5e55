"""Which images `--limit`, `--per-class` and `--classes` take, what is said about it, and how data meets a model of fewer classes."""

import json
import shlex
from collections import Counter
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from advcli.catalog.request_parts import Selection
from advcli.errors import InputError
from advcli.images.dataset import ranks, spread
from advcli.networks import model_file
from advcli.runtime.reporter import OnceReporter, Reporter
from advcli.workspace import inputs
from photographs import photographs

DRAW = np.random.default_rng(10)
LABELS = {
    "sorted": np.arange(5).repeat([40, 30, 20, 10, 3]),
    "mixed": DRAW.integers(0, 10, 500),
    "unlabelled": np.full(50, -1),
    "partly": DRAW.integers(-1, 3, 200),
    "rare": np.array([0] * 999 + [1]),
    "one": np.zeros(1, np.int64),
}


@pytest.fixture(params=LABELS)
def labels(request) -> np.ndarray:
    return LABELS[request.param]


def test_a_limit_gives_every_class_its_share_rounded(labels):
    for count in range(1, len(labels) + 1):
        taken = Counter(labels[spread(labels, count)].tolist())
        assert taken.total() == count
        for name, size in Counter(labels.tolist()).items():
            assert abs(taken[name] - size * count / len(labels)) < 1


def test_two_of_nine_images_are_one_of_each_class_though_one_is_twice_as_large():
    assert spread(np.array([0, 0, 0, 1, 1, 1, 1, 1, 1]), 2).tolist() == [0, 3]


def test_a_larger_limit_takes_all_of_a_smaller_one(labels):
    before: set[int] = set()
    for count in range(1, len(labels) + 1):
        places = spread(labels, count)
        assert (np.diff(places) > 0).all()  # in their order
        assert before < set(places.tolist())
        before = set(places.tolist())


def test_a_limit_takes_the_first_of_every_class(labels):
    taken = spread(labels, len(labels) // 2)
    for name in np.unique(labels):
        of_class = np.flatnonzero(labels == name)
        chosen = taken[labels[taken] == name]
        np.testing.assert_array_equal(chosen, of_class[: len(chosen)])


def test_ranks_count_the_images_of_the_class_before(labels):
    wanted = [int((labels[:place] == labels[place]).sum()) for place in range(len(labels))]
    np.testing.assert_array_equal(ranks(labels), wanted)


def test_a_limit_depends_on_classes_and_places_alone():
    whole = inputs.open_data("digits", "test")
    other = replace(whole, name="other", index=whole.index[::-1].copy(), read=lambda places: torch.zeros(len(places), 1, 8, 8))
    np.testing.assert_array_equal(whole.selected(None, 77, None).labels, other.selected(None, 77, None).labels)


def test_a_limit_that_leaves_nothing_out_changes_nothing():
    whole = inputs.open_data("digits", "test")
    for limit in (500, 9999):
        found = inputs.open_data("digits", "test", Selection(limit=limit))
        np.testing.assert_array_equal(found.index, whole.index)
        assert not found.notes


def test_classes_come_first_then_per_class_then_the_limit():
    found = inputs.open_data("digits", "test", Selection(classes="7,3", per_class=10, limit=8))
    assert found.classes == ("7", "3")
    assert np.bincount(found.labels).tolist() == [4, 4]
    first = inputs.open_data("digits", "test", Selection(classes="7,3", per_class=4))
    np.testing.assert_array_equal(found.index, first.index)
    assert {key: found.origin[key] for key in ("classes", "per_class", "limit")} == {
        "classes": "7,3",
        "per_class": 10,
        "limit": 8,
    }


@pytest.fixture
def photos(folder: Path) -> Path:
    """Four classes, one after the other, as folders give them."""
    photographs(folder / "photos", names=("ant", "bee", "cat", "dog"), kind="png", size=8)
    return folder / "photos"


def of_classes(name: str) -> list[int]:
    with h5py.File(name) as file:
        return np.bincount(file["labels"][:]).tolist()


def test_a_limit_on_a_folder_takes_images_of_all_classes_in_every_verb(run, photos):
    ran = run("train", "--data", "photos", "--arch", "softmax", "--epochs", "1", "--limit", "20")
    assert ran.code == 0, ran.err
    assert "photos:train: 20 of 43 images, every class in proportion to its size: 5 of each of 4 classes" in ran.err
    ran = run("attack", "--method", "fgsm", "--limit", "10")
    assert "photos:test: 10 of 48 images, every class in proportion to its size: 2 to 3 of each of 4 classes" in ran.err
    assert "warning" not in ran.err
    assert of_classes("adversarial.h5") == [3, 3, 2, 2]
    ran = run("evaluate", "--data", "photos", "--limit", "8", "--json")
    assert "8 of 48 images, every class in proportion to its size: 2 of each of 4 classes" in ran.err
    assert run("import", "photos", "-o", "all.h5").code == 0
    ran = run("evaluate", "--data", "all.h5", "--limit", "12", "--json")
    assert "all.h5:test: 12 of 48 images, every class in proportion to its size: 3 of each of 4 classes" in ran.err
    ran = run("defend", "--method", "squeeze-detector", "--data", "photos:train", "--limit", "20")
    assert ran.code == 0, ran.err
    assert "20 of 43 images, every class in proportion to its size" in ran.err


def test_the_help_says_how_a_limit_is_spread(run):
    for verb in ("train", "attack", "evaluate", "defend"):
        said = " ".join(
            run(verb, *(("--method", "autoencoder") if verb == "defend" else ()), "--help").out.replace("│", " ").split()
        )
        assert "the first of every class, in proportion to its size" in said, verb


def test_images_of_one_class_only_are_no_training_set(run, photos):
    ran = run("train", "--data", "photos", "--limit", "1")
    assert ran.code == 3
    assert "has images of one class only (bee); a classifier needs two" in ran.err


def test_a_selection_of_fewer_classes_than_the_model_has_is_warned_of_once(run, model):
    few = "warning: digits:test: its images are of 2 of 10 classes; there is none of 0, 1, 2, 4, 5, ..."
    ran = run("attack", "--method", "fgsm", "--classes", "3,7", "--quiet")
    assert ran.err.strip() == few
    run("defend", "--method", "squeeze")
    for more in (("--data", "digits", "--limit", "2"), ("adversarial.h5",)):
        ran = run("evaluate", "--model", "model.safetensors", "--model", "defended.safetensors", *more, "--json")
        assert ran.code == 0, ran.err
        assert ran.err.count("are of 2 of 10 classes") == 1
    assert "classes" not in run("attack", "--method", "fgsm", "--limit", "20", "--quiet", "-o", "all.h5").err
    ran = run("train", "--arch", "softmax", "--epochs", "1", "--limit", "5", "-o", "few.safetensors")
    assert "warning: digits:train: its images are of 5 of 10 classes" in ran.err


@pytest.fixture
def pair(run, folder) -> str:
    """A model of two of the digits."""
    assert run("train", "--classes", "7,3", "--arch", "softmax", "--epochs", "2", "--quiet", "-o", "pair.safetensors").code == 0
    return "pair.safetensors"


LEFT = "digits:test: 101 of 500 images are of the classes 7, 3"


def test_a_model_of_some_classes_takes_its_own_out_of_a_named_set(run, pair):
    assert (np.isin(inputs.open_data("digits", "test").labels, [3, 7])).sum() == 101
    for verb in (
        ("evaluate",),
        ("attack", "--method", "fgsm"),
        ("attack", "--method", "universal", "--fit-data", "digits", "-o", "u.h5"),
    ):
        ran = run(*verb, "--model", pair, "--data", "digits")
        assert ran.code == 0, ran.err
        assert LEFT in ran.err
    with h5py.File("adversarial.h5") as file:
        assert set(file["labels"][:]) == {0, 1}
        index = file["index"][:]
    assert set(
        np.unique(inputs.open_data("digits", "test").labels[np.isin(inputs.open_data("digits", "test").index, index)])
    ) == {3, 7}
    for method in ("squeeze-detector", "autoencoder"):
        ran = run(
            "defend",
            "--method",
            method,
            "--model",
            pair,
            "--data",
            "digits",
            *(("--epochs", "1") * (method == "autoencoder")),
            "--force",
        )
        assert ran.code == 0, ran.err
        assert "images are of the classes 7, 3" in ran.err


@pytest.mark.parametrize("data", [(), ("--data", "digits")], ids=["own", "named"])
@pytest.mark.parametrize(
    "verb", [("defend", "--method", "squeeze-detector"), ("attack", "--method", "fgsm")], ids=lambda one: one[0]
)
def test_what_was_made_on_the_models_classes_is_made_again_by_what_show_prints(run, pair, verb, data):
    ran = run(*verb, "--model", pair, *data)
    made = Path(ran.out.strip())
    before = made.read_bytes()
    (said,) = json.loads(run("show", made, "--json").out)
    made.unlink()
    ran = run(*shlex.split(said["command"])[1:])
    assert ran.code == 0, ran.err
    assert made.read_bytes() == before


def test_the_limit_is_of_the_models_classes(run, pair):
    found = inputs.data_of(model_file.read(Path(pair)), "digits", None, Selection(limit=10))
    assert np.bincount(found.labels).tolist() == [5, 5]


def test_classes_that_were_typed_win(run, pair):
    ran = run("evaluate", "--model", pair, "--data", "digits", "--classes", "3", "--json")
    assert ran.code == 0, ran.err
    assert "images are of the classes 3" in ran.err
    assert "its images are of 1 of 2 classes" in ran.err
    ran = run("evaluate", "--model", pair, "--data", "digits", "--classes", "3,4")
    assert ran.code == 3
    assert "its classes 4 are none of pair.safetensors's: 7, 3" in ran.err


def test_a_file_of_more_classes_stays_refused_and_the_way_on_is_said_and_works(run, pair, model):
    run("attack", "--method", "fgsm", "--limit", "40", "-o", "all.h5")
    whole = inputs.open_data("digits", "test", Selection(limit=40))
    np.savez("all.npz", x=whole.batch(0, 40)[0].numpy(), y=whole.labels, classes=np.array(whole.classes))
    for verb in (("evaluate",), ("attack",)):
        ran = run(*verb, "--model", pair, "--data", "all.npz")
        assert ran.code == 3
        assert "are none of pair.safetensors's: 7, 3" in ran.err
        assert "give --classes 7,3" in ran.err
        assert run(*verb, "--model", pair, "--data", "all.npz", "--classes", "7,3").code == 0
    ran = run("evaluate", "all.h5", "--model", pair)
    assert ran.code == 3
    assert "attack images of its classes alone: advcli attack --classes 7,3" in ran.err
    run("import", "all.npz", "-o", "clean.h5")
    ran = run("evaluate", "clean.h5", "--model", pair)
    assert ran.code == 3
    assert "give it as --data clean.h5 --classes 7,3" in ran.err
    assert run("evaluate", "--data", "clean.h5", "--classes", "7,3", "--model", pair).code == 0


def test_a_file_that_defend_cannot_choose_from_is_imported_again(run, pair):
    whole = inputs.open_data("digits", "train", Selection(limit=200))
    x, y = whole.batch(0, 200)
    np.savez("some.npz", x=x.numpy(), y=y.numpy(), classes=np.array(whole.classes), split=np.array("train"))
    ran = run("defend", "--method", "squeeze-detector", "--model", pair, "--data", "some.npz")
    assert ran.code == 3
    assert "export it and import it again with --classes 7,3" in ran.err
    assert run("import", "some.npz", "--classes", "7,3", "--split", "train", "-o", "two.h5").code == 0
    assert run("defend", "--method", "squeeze-detector", "--model", pair, "--data", "two.h5").code == 0


def test_a_model_that_names_no_data_set_says_so(run, model):
    run("export", "model.safetensors", "-o", "weights.pt")
    assert run("import", "weights.pt", "--arch", "cnn", "-o", "mine.safetensors").code == 0
    for verb in (("attack",), ("evaluate",), ("defend", "--method", "squeeze-detector")):
        ran = run(*verb, "--model", "mine.safetensors")
        assert ran.code == 3
        assert "mine.safetensors: this model names no data set; give --data" in ran.err


class Heard(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(f"warning: {text}")


def test_once_says_a_thing_once_and_passes_progress_on():
    heard = Heard()
    reporter = OnceReporter(heard)
    for _ in range(2):
        reporter.note("a")
        reporter.note("b")
        reporter.warn("c")
    assert heard.said == ["a", "b", "warning: c"]
    with reporter.progress("x", 1, "images") as tick:
        tick(1, "")


def test_an_unknown_class_is_refused():
    with pytest.raises(InputError, match="has no class '12'"):
        inputs.open_data("digits", "test", Selection(classes="12"))
