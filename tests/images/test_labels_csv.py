"""Labels from a CSV: every way of writing one gives the same labels, and what is wrong in one is said by its line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli.catalog.request_parts import Selection
from advcli.datasets.csv import csv, labels_of
from advcli.errors import InputError
from advcli.files import imageset_reader
from advcli.images import labels_csv
from advcli.workspace import inputs

ROWS = [("a.png", "cat"), ("b.png", "dog"), ("in/c.png", "a, b")]


def draw(*names: str) -> None:
    for k, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), k, np.uint8)).save(name)


def written(text: str | bytes, name: str = "labels.csv") -> Path:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    return Path(name)


TEXT = 'file,label\na.png,cat\nb.png,dog\nin/c.png,"a, b"\n'


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.partition("\n")[2],
        "\ufeff" + TEXT,
        TEXT.encode("utf-16"),
        TEXT.replace("\n", "\r\n"),
        "\n" + TEXT.replace("dog\n", "dog\n\n") + "\n\n",
        'Label;id;FILENAME\ncat;1;./a.png\n dog ;2;b.png\n"a, b";3;in//c.png\n',
        'path\tcategory\n"a.png"\t"cat"\nb.png\tdog\nin/c.png\ta, b\n',
        "image | target\na.png | cat\nb.png | dog\nin/c.png | a, b",
    ],
    ids=["plain", "no header", "mark", "utf-16", "crlf", "blank lines", "semicolon", "tab", "bar"],
)
def test_every_way_of_writing_it_is_read(folder, text):
    found = labels_csv.read(written(text))
    assert list(zip(found.files, found.labels, strict=True)) == ROWS
    assert found.classes() == ("a, b", "cat", "dog")


def test_numbers_are_classes_in_the_order_of_their_values(folder):
    assert labels_csv.read(written("a.png,10\nb.png,9\nc.png,0\n")).classes() == ("0", "9", "10")
    assert labels_csv.read(written("a.png,10\nb.png,9\nc.png,x\n")).classes() == ("10", "9", "x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: expected a header with the columns file and label; found nothing"),
        ("id,species\n1,cat\n", "line 1: expected a header with the columns file and label; found id, species"),
        ("file,label\n", "labels.csv: names no picture files"),
        ("file,label\na.png,cat\nb.png\n", "line 3: has 1 fields, expected 2"),
        ("file,label\na.png,big, red cat\n", "line 2: has 3 fields, expected 2; quote a name that holds the separator"),
        ("file,label\na.png,cat\n\n./a.png,dog\n", "line 4: a.png is there twice, also in line 2"),
        ("file,label\n../x.png,cat\n", "line 2: ../x.png leads out of the folder"),
        ("file,label\nin/../../x.png,cat\n", "line 2: ../x.png leads out of the folder"),
        ("file,label\n/etc/x.png,cat\n", "line 2: /etc/x.png leads out of the folder"),
        ("file,label\n,cat\n", "line 2: names no file"),
        ("file,label\na\0.png,cat\n", "line 2: no valid name of a file"),
        ("file,label\na.png,in/cat\n", "no valid class name 'in/cat'"),
        ("file,label\na.png,..\n", r"no valid class name '..'; use printable characters"),
        ("file,label,split\na.png,cat,dev\n", "line 2: no split dev; expected train, val or test"),
        ('file,label\na.png,"cat\n', "line 2: no valid CSV"),
        ("file,label\na.png,caf\xe9\n".encode("latin-1"), "line 2: is not UTF-8 text; save it as CSV UTF-8"),
        ("file,label\n" + "x" * 70_000, "has a line of more than 65536 characters"),
    ],
)
def test_what_is_wrong_is_said_by_its_line(folder, text, words):
    with pytest.raises(InputError) as caught:
        labels_csv.read(written(text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_large_file_is_refused_before_it_is_read(folder, monkeypatch):
    monkeypatch.setattr(labels_csv, "MOST_BYTES", 20)
    with pytest.raises(InputError, match="more than 20, the limit for a CSV of labels"):
        labels_csv.read(written(TEXT))


def test_files_that_are_missing_are_counted(folder):
    draw("photos/a.png")
    written("file,label\na.png,x\nb.png,y\nc.png,y\n", "photos/labels.csv")
    with pytest.raises(InputError, match=r"line 3: there is no photos/b.png; 2 of its 3 files are missing"):
        csv("train", path="photos/labels.csv")
    written("file,label\na.png,x\nnotes.txt,y\n", "photos/labels.csv")
    with pytest.raises(InputError, match=r"line 3: notes.txt has no ending of an image file"):
        csv("train", path="photos/labels.csv")


def test_pictures_without_a_row_are_left_out_with_a_note(folder):
    draw("test/img/a.png", "test/img/b.png", "test/img/c.png")
    written("a.png,x\nb.png,y\n", "test/labels.csv")
    found = inputs.open_data("test", "test")
    assert (len(found), found.classes, found.labels.tolist()) == (2, ("x", "y"), [0, 1])
    assert (found.pictures(0, 2)[:, 0, 0, 0] * 255).tolist() == [0, 1]
    assert any("does not name 1 of the pictures in test/img; they are left out" in note for note in found.notes)


def test_an_empty_label_is_none(folder):
    draw("test/a.png", "test/b.png")
    written("file,label\na.png,x\nb.png,\n", "test/labels.csv")
    found = csv("test", path="test/labels.csv")
    assert found.labels.tolist() == [0, -1]
    assert any("gives 1 of its 2 test pictures no label" in note for note in found.notes)


def test_the_splits_are_stated_or_follow_the_names(folder):
    names = [f"{k}.png" for k in range(40)]
    draw(*(f"photos/{name}" for name in names))
    written("".join(f"{name},{k % 2}\n" for k, name in enumerate(names)), "photos/labels.csv")
    parts = {split: csv(split, path="photos/labels.csv") for split in ("train", "val", "test")}
    assert sorted(place for part in parts.values() for place in part.index) == list(range(40))
    assert f"by their names {len(parts['train'])} of its 40 pictures are its train split" in parts["train"].notes[0]
    rows = "".join(f"{name},{k % 2},{'Train' if k < 30 else 'test'}\n" for k, name in enumerate(names))
    written("file,label,split\n" + rows, "photos/stated.csv")
    parts = {split: csv(split, path="photos/stated.csv") for split in ("train", "val", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 27, "val": 3, "test": 10}
    assert not set(parts["train"].index) & set(parts["val"].index)
    written("file,label,split\n" + rows.replace("test", "validation"), "photos/stated.csv")
    assert len(csv("val", path="photos/stated.csv")) == 10
    assert len(csv("train", path="photos/stated.csv")) == 30


def test_train_and_test_csv_beside_each_other_are_the_splits(folder):
    draw(*(f"photos/{k}.png" for k in range(30)))
    written("".join(f"{k}.png,{k % 2}\n" for k in range(20)), "photos/train.csv")
    with pytest.raises(InputError, match=r"train.csv: is a train set, and there is no photos/test.csv beside it"):
        csv("test", path="photos/train.csv")
    written("".join(f"{k}.png,{k % 2}\n" for k in range(20, 30)), "photos/test.csv")
    assert {split: len(csv(split, path="photos/train.csv")) for split in ("train", "val", "test")} == {
        "train": 18,
        "val": 2,
        "test": 10,
    }
    assert "is the train split; its test split is photos/test.csv" in csv("test", path="photos/train.csv").notes[0]


def test_class_folders_are_not_overruled_by_a_csv_beside_them(folder):
    draw("photos/a/1.png", "photos/b/1.png")
    written("file,label\na/1.png,x\n", "photos/labels.csv")
    assert labels_of(Path("photos")) is None
    found = inputs.open_data("photos:train", None, Selection())
    assert found.classes == ("a", "b")
    assert (
        "photos: the names of its class folders are the labels; for those of labels.csv: --data photos/labels.csv" in found.notes
    )


def test_a_model_finds_its_pictures_and_their_labels_again(run, folder):
    draw(*(f"photos/{k}.png" for k in range(60)))
    written("".join(f"{k}.png,{'dark' if k < 30 else 'light'}\n" for k in range(60)), "photos/mine.csv")
    ran = run("train", "--data", "photos/mine.csv", "--arch", "softmax", "--epochs", "1")
    assert ran.code == 0, ran.err
    ran = run("attack", "--method", "fgsm")
    assert ran.code == 0, ran.err
    assert "--data photos/mine.csv:test" in run("show", "adversarial.h5").out
    said = run("verify", "adversarial.h5")
    assert "labels and images of" in said.out
    assert said.code == 0
    written("".join(f"{k}.png,{'dark' if k < 29 else 'light'}\n" for k in range(60)), "photos/mine.csv")
    assert "its training data folder was not found here; give --data" in run("attack", "--method", "pgd").err


@pytest.mark.parametrize("names", [("0", "1"), ("cat", "dog")])
def test_pictures_without_labels_are_attacked_by_the_models_own_predictions(run, folder, names):
    draw(*(f"photos/{name}/{k}.png" for name in names for k in range(20)), *(f"flat/{k}.png" for k in range(6)))
    assert run("train", "--data", "photos", "--arch", "softmax", "--epochs", "1").code == 0
    ran = run("attack", "--data", "flat", "--method", "pgd", "--eps", "0.9")
    assert ran.code == 0, ran.err
    assert "flat: its 6 pictures have no labels; accuracy cannot be measured on them" in ran.err
    assert "each is attacked from the model's own prediction" in ran.err
    broken = imageset_reader.ImageSet("adversarial.h5").column("success").sum()
    report = run("evaluate", "adversarial.h5", "--metric", "success").out
    assert f"{broken}/6" in report
    assert "labels: predicted" in report
    ran = run("train", "--data", "flat", "--force")
    assert ran.code == 3
    assert "put them into class folders, or their labels into flat/labels.csv" in ran.err


def test_alpha_and_cmyk_are_read_as_torchvision_reads_them(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 6, 4)).astype(np.uint8)
    Path("test/x").mkdir(parents=True)
    Image.fromarray(pixels).save("test/x/alpha.png")
    Image.fromarray(pixels[..., :3]).convert("CMYK").save("test/x/cmyk.tif")
    Image.fromarray(pixels[..., :3]).quantize(8).save("test/x/palette.gif")
    found = (inputs.open_data("test", "test").pictures(0, 3) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    for one, name in zip(found, ("alpha.png", "cmyk.tif", "palette.gif"), strict=True):
        with Image.open(f"test/x/{name}") as opened:
            np.testing.assert_array_equal(one, np.asarray(opened.convert("RGB")))
    np.testing.assert_array_equal(found[0], pixels[..., :3])  # what is transparent has its colour
