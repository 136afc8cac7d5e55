"""Exports: a rerun finds its work done, what exists is kept, and adversarial pictures never come back as clean ones."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import attacked_set
from advcli.files import imageset_writer
from advcli.files.imageset_reader import ImageSet
from advcli.images.picture_origin import NOTE
from advcli.workspace.inputs import open_data


@pytest.fixture
def adversarial(run, model) -> str:
    assert run("attack", "--method", "fgsm", "--eps", "0.1", "--limit", "60", "--quantize").code == 0
    return "adversarial.h5"


def content(path: Path) -> dict[str, bytes]:
    return {str(one): one.read_bytes() for one in (path.rglob("*") if path.is_dir() else [path]) if one.is_file()}


@pytest.mark.parametrize(
    ("words", "made"),
    [(["model.safetensors"], "model.pt"), (["adversarial.h5"], "adversarial.npz"), (["adversarial.h5", "-o", "p"], "p")],
)
def test_a_finished_export_is_there_already_and_another_is_not_overwritten(words, made, run, adversarial):
    assert run("export", *words).code == 0
    first = content(Path(made))
    again = run("export", *words)
    assert (again.code, again.out) == (0, f"{made}\n")
    assert f"{made} already exists, with the same content" in again.err
    assert run("attack", "--method", "fgsm", "--eps", "0.2", "--limit", "60", "--quantize").code == 0
    assert run("train", "--arch", "softmax", "--epochs", "1", "--force").code == 0
    other = run("export", *words)
    assert other.code == 2
    assert f"{made} already exists; use --force to overwrite it, or -o to choose another name" in other.err
    assert content(Path(made)) == first
    assert run("export", *words, "--force").code == 0
    assert content(Path(made)) != first
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


def test_adversarial_pictures_do_not_come_back_as_clean_ones(run, adversarial):
    assert run("export", adversarial, "-o", "pictures").code == 0
    for data in ("pictures", "pictures:train", "pictures:val"):
        ran = run("evaluate", "--data", data, "--model", "model.safetensors", "--fail-under", "accuracy=0.0001")
        assert ran.code == 3
        assert "holds adversarial images" in ran.err
    assert run("defend", "--method", "autoencoder", "--data", "pictures:train", "--model", "model.safetensors").code == 3
    shutil.move("pictures", "moved/test")
    shutil.copytree("moved/test", "moved/train")
    assert run("evaluate", "--data", "moved:test", "--model", "model.safetensors").code == 3, "the split's own folder tells"
    Path("moved/test", NOTE).write_text("{")
    (Path("moved/train") / NOTE).unlink()
    ran = run("evaluate", "--data", "moved:test", "--model", "model.safetensors", "--fail-under", "accuracy=0")
    assert ran.code == 2, "unknown images have no clean accuracy"


@pytest.mark.parametrize("made", ["back.npz", "back.pt", "back"])
@pytest.mark.parametrize("source", ["adversarial.filtered.h5", "unknown.h5"])
def test_no_kind_of_images_becomes_clean_by_going_out_and_in(source, made, run, adversarial):
    assert run("defend", adversarial, "--bits", "2").code == 0
    assert run("export", adversarial).code == 0
    assert run("import", "adversarial.npz", "-o", "unknown.h5").code == 0
    assert run("export", source, "-o", made).code == 0
    ran = run("evaluate", "--data", made, "--model", "model.safetensors", "--fail-under", "accuracy=0")
    assert ran.code == (2 if source == "unknown.h5" else 3), ran.err


@pytest.mark.parametrize("made", ["back.npz", "back.pt", "back"])
def test_clean_images_stay_clean(made, run, model):
    data = open_data("digits", "test")
    header = {"kind": "clean", "classes": list(data.classes), "split": "test", "range": [0, 1], "made": attacked_set.MADE}
    columns = {"images": data.pictures(0, 60).numpy(), "labels": data.labels[:60], "index": data.index[:60]}
    imageset_writer.write_rows(Path("clean.h5"), header, columns)
    assert run("export", "clean.h5", "-o", made).code == 0
    assert run("evaluate", "--data", made, "--model", "model.safetensors", "--fail-under", "accuracy=0").code == 0


def test_tensors_for_other_tools_are_those_of_the_set_and_come_back(run, adversarial):
    assert run("export", adversarial, "-o", "adversarial.pt").code == 0
    found = torch.load("adversarial.pt", weights_only=True)
    with ImageSet("adversarial.h5") as opened:
        assert torch.equal(found["images"], opened.rows("images", 0, len(opened)))
        assert found["images"].dtype == torch.float32
        assert found["labels"].tolist() == opened.column("labels").tolist()
        assert (found["classes"], found["kind"], found["split"]) == (list(opened.classes), "adversarial", "test")
    assert run("import", "adversarial.pt", "-o", "again.h5").code == 0
    with ImageSet("again.h5") as again:
        assert torch.equal(again.rows("images", 0, len(again)), found["images"])
        assert again.kind == "unknown"


def test_a_pair_of_tensors_is_images_and_labels(folder):
    images, labels = torch.rand(3, 1, 4, 4, dtype=torch.float64), torch.tensor([0, 1, 1])
    torch.save((images, labels), "pair.pt")
    found = open_data("pair.pt", None)
    assert torch.equal(found.pictures(0, 3), images.float())
    assert (found.labels.tolist(), found.classes) == ([0, 1, 1], ("0", "1"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"images": torch.rand(2, 1, 4, 4) * 255, "labels": torch.tensor([0, 1])}, "divide by 255"),
        (
            {"images": torch.zeros(1).expand(9999, 3, 64, 64), "labels": torch.zeros(9999, dtype=torch.int64)},
            "more than the file holds",
        ),
        ({"images": torch.rand(2, 1, 4, 4), "labels": [0, 1]}, "labels is list; expected a tensor"),
        ({"weight": torch.rand(2, 1)}, "has no images"),
        (torch.nn.Linear(2, 2), "a pickled module, which runs code"),
    ],
)
def test_what_is_no_file_of_images_is_refused_with_the_reason(content, reason, run, model):
    torch.save(content, "x.pt")
    ran = run("evaluate", "--data", "x.pt", "--model", "model.safetensors")
    assert ran.code == 3
    assert reason in ran.err


def test_an_image_off_the_8_bit_grid_by_a_thousandth_of_a_level_is_counted(run, folder):
    images = np.full((3, 1, 4, 4), 128 / 255, np.float32)
    images[1, 0, 2, 3] += 4e-6
    attacked_set.write("near.h5", {"images": images, "labels": np.arange(3)})
    ran = run("export", "near.h5", "-o", "p")
    assert ran.code == 0, ran.err
    assert "1 of 3 images were rounded to 8 bits" in ran.err
