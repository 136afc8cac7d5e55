"""Whether a folder has splits or classes, whatever its folders are called; what is ambiguous is refused in words."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli.datasets.folder import folder as class_folder
from advcli.errors import InputError
from advcli.images.split_folders import splits_beside, splits_in
from advcli.workspace import inputs
from photographs import photographs


def pictures(root: Path, *names: str, count: int = 40) -> None:
    """Class folders with pictures, no two alike."""
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for k in range(count):
            Image.fromarray(np.full((8, 8), 50 * label + k, np.uint8)).save(root / name / f"{k}.png")


def sizes(path: str) -> dict[str, int]:
    return {split: len(class_folder(split, path=path)) for split in ("train", "val", "test")}


@pytest.mark.parametrize(
    "names", [("test", "cat"), ("test", "train"), ("train", "val", "test"), ("val", "dog", "train")], ids="+".join
)
def test_class_folders_called_like_splits_are_classes(folder, names):
    pictures(folder / "photos", *names)
    assert splits_in(Path("photos")) == ()
    assert sum(sizes("photos").values()) == 40 * len(names)
    assert class_folder("train", path="photos").classes == tuple(sorted(names))


def test_the_share_of_a_folder_without_splits_is_said(run, folder):
    pictures(folder / "photos", "cat", "dog", count=50)
    found = sizes("photos")
    assert sum(found.values()) == 100
    ran = run("train", "--data", "photos", "--arch", "softmax", "--epochs", "1")
    assert ran.code == 0, ran.err
    assert f"photos: holds no splits; by their names {found['train']} of its 100 pictures are its train split" in ran.err
    assert f"by their names {found['test']} of its 100 pictures are its test split" in run("evaluate", "--json").err


def test_one_split_beside_others_is_not_split_again(run, folder):
    photographs(folder / "photos", splits=("train", "val", "test"), count=25, kind="png", size=8)
    assert splits_beside(Path("photos/test")) == ("train", "val", "test")
    assert len(class_folder("test", path="photos/test")) == 50
    assert len(class_folder("train", path="photos/train")) == 50
    assert len(class_folder("val", path="photos/val")) == 50
    assert run("train", "--data", "photos", "--arch", "softmax", "--epochs", "1").code == 0
    ran = run("evaluate", "--data", "photos/test", "--json")
    assert '"n": 50' in ran.out
    assert "by their names" not in ran.err
    ran = run("train", "--data", "photos/test", "-o", "other.safetensors")
    assert ran.code == 3
    assert "photos/test: is the test split of photos/, and no train images are in it" in ran.err
    ran = run("evaluate", "--data", "photos/train")
    assert ran.code == 3
    assert "is the train split of photos/, and no test images are in it" in ran.err
    assert '"n": 50' in run("evaluate", "--data", "photos/train", "--split", "train", "--json").out


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_folder_that_is_called_like_a_split_is_that_split_even_alone(run, folder, monkeypatch, name):
    pictures(folder / name, "cat", "dog")
    assert len(class_folder(name, path=name)) == 80
    assert len(inputs.open_data(f"{name}:{name}", None)) == 80
    ran = run("train", "--data", name)
    assert ran.code == 3
    assert (
        f"{name}: a folder that is called {name} is a {name} set, and no train images are in it; give --split {name}" in ran.err
    )
    monkeypatch.chdir(name)
    assert len(class_folder(name, path=".")) == 80


def test_a_train_folder_alone_has_its_val_carved_out(folder):
    photographs(folder / "photos", splits=("train", "test"), count=20, kind="png", size=8)
    assert len(class_folder("train", path="photos/train")) == 36
    assert len(class_folder("val", path="photos/train")) == 4
    shutil.rmtree("photos/test")
    assert sum(sizes("photos/train").values()) == 40  # stands alone: a folder of classes that is called train


@pytest.mark.parametrize("here", [".", "../test", "../../photos/test/"])
def test_a_split_is_known_however_its_path_is_written(folder, monkeypatch, here):
    photographs(folder / "photos", count=25, kind="png", size=8)
    monkeypatch.chdir("photos/test")
    assert len(class_folder("test", path=here)) == 50


@pytest.mark.parametrize("classes", [("cat",), ("cat", "dog"), ("val",)], ids="+".join)
def test_splits_and_classes_in_one_folder_are_refused(run, folder, classes):
    photographs(folder / "photos", count=2, kind="png", size=8)
    pictures(folder / "photos", *classes)
    ran = run("train", "--data", "photos")
    assert ran.code == 3
    assert (
        f"train/, test/ there holds class folders, as a split does, and {', '.join(f'{one}/' for one in classes)} holds"
        in ran.err
    )
    assert "give the folder of one split" in ran.err
    assert class_folder("test", path="photos/test").split == "test"  # and this is the way on


def test_other_folders_beside_splits_do_no_harm(folder):
    photographs(folder / "photos", count=5, kind="png", size=8)
    (folder / "photos" / "annotations").mkdir()
    (folder / "photos" / "annotations" / "0.xml").write_text("")
    (folder / "photos" / ".cache").mkdir()
    (folder / "photos" / "val").mkdir()  # empty: no split and no class
    assert splits_in(Path("photos")) == ("train", "test")
    assert len(class_folder("test", path="photos")) == 10


def test_a_split_that_is_not_there_is_named(folder):
    photographs(folder / "photos", splits=("train", "val"), count=5, kind="png", size=8)
    with pytest.raises(InputError, match="photos: has train/ and val/ and no test/: choose with --split"):
        inputs.open_data("photos", "test")
    assert len(inputs.open_data("photos", "val")) == len(inputs.open_data("photos", "train")) == 10


def test_names_of_files_decide_nothing(folder):
    pictures(folder / "photos", "a", "b")
    (folder / "photos" / "test").write_text("a file called test")
    assert splits_in(Path("photos")) == ()
    assert sum(sizes("photos").values()) == 80


def test_what_was_perhaps_meant_otherwise_is_said(folder):
    pictures(folder / "photos", "cat", "test")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("photos/alone.png")
    notes = class_folder("train", path="photos").notes
    assert "photos: 1 pictures lie beside its class folders; they are left out" in notes
    assert "photos: takes test/ for a class, because it holds pictures; a split holds class folders" in notes
