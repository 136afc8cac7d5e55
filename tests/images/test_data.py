"""Data sets: exact counts, files that are cut short or called wrongly, pictures, splits."""

import gzip
import io
import json
import os
import shlex
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from sklearn.datasets import load_digits

from advcli.catalog.request_parts import Selection
from advcli.datasets import cifar10, fashion_mnist, imagenette, mnist, svhn
from advcli.datasets.digits import everything
from advcli.datasets.folder import folder as class_folder
from advcli.errors import InputError
from advcli.files.imageset_reader import ImageSet
from advcli.networks import model_file
from advcli.workspace import inputs
from photographs import photographs

SHARED = pytest.mark.skipif("ADVCLI_TEST_SHARED" not in os.environ, reason="needs MNIST and CIFAR-10")


def idx(data: np.ndarray) -> bytes:
    return bytes([0, 0, 8, data.ndim]) + struct.pack(f">{data.ndim}I", *data.shape) + data.tobytes()


def small_mnist(folder: Path, module, place: str, monkeypatch, packed=False) -> dict[str, np.ndarray]:
    """A stand-in of 200 and 50 pictures, in MNIST's files."""
    monkeypatch.setattr(module, "COUNTS", {"train": 200, "test": 50})
    draw, made = np.random.default_rng(0), {}
    for stem, count in (("train", 200), ("t10k", 50)):
        made[stem] = draw.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        made[f"{stem} labels"] = (np.arange(count) % 10).astype(np.uint8)
        for kind, data in (("images-idx3", made[stem]), ("labels-idx1", made[f"{stem} labels"])):
            path = folder / place / f"{stem}-{kind}-ubyte{'.gz' if packed else ''}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(idx(data)) if packed else idx(data))
    return made


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "module", "place"), [("mnist", mnist, "MNIST/raw"), ("fashion-mnist", fashion_mnist, "FashionMNIST/raw")]
)
def test_idx_files_are_read_to_the_byte(folder, monkeypatch, name, module, place, packed):
    made = small_mnist(folder, module, place, monkeypatch, packed)
    parts = {split: inputs.open_data(name, split, Selection(data_dir=".")) for split in ("train", "val", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 180, "val": 20, "test": 50}
    assert not set(parts["train"].index) & set(parts["val"].index)
    for split, stem in (("train", "train"), ("val", "train"), ("test", "t10k")):
        x, label = parts[split].batch(0, 999)
        np.testing.assert_array_equal((x[:, 0] * 255).round().numpy(), made[stem][parts[split].index])
        np.testing.assert_array_equal(label, made[f"{stem} labels"][parts[split].index])


def test_two_digits_are_a_set_of_their_own(folder, monkeypatch):
    small_mnist(folder, mnist, "MNIST/raw", monkeypatch)
    found = inputs.open_data("mnist", "test", Selection(classes="7,6", data_dir="."))
    assert (found.classes, len(found)) == (("7", "6"), 10)
    assert set(found.index % 10) == {6, 7}
    assert found.pixels is not None
    assert torch.equal(found.batch(0, 99)[0], found.pixels.float() / 255)


def test_the_digits_are_scikit_learns():
    published = load_digits()
    pixels, labels = everything()
    np.testing.assert_array_equal(pixels[:, 0], published.images.astype(np.float32) / 16)
    np.testing.assert_array_equal(labels, published.target)


@pytest.mark.parametrize(("change", "words"), [
    (lambda data: data[:-1], "cut short"), (lambda data: data + b"x", "cut short or too long"), (lambda data: data[:3], "magic"),
    (lambda data: b"\0\0\x0d\3" + data[4:], "magic number 00000d03"), (lambda data: b"", "magic"),
    (lambda data: data[:4] + struct.pack(">I", 201) + data[8:], "201x28x28"),
])  # fmt: skip
def test_a_broken_idx_file_is_named(run, folder, monkeypatch, change, words):
    """S0-X1: exit 3, with the name of the file."""
    small_mnist(folder, mnist, "MNIST/raw", monkeypatch)
    path = Path("MNIST/raw/train-images-idx3-ubyte")
    path.write_bytes(change(path.read_bytes()))
    ran = run("train", "--data", "mnist", "--data-dir", ".", "--arch", "softmax", "--epochs", "1")
    assert ran.code == 3
    assert "train-images-idx3-ubyte" in ran.err
    assert words in ran.err


def test_a_set_that_is_not_there_says_where_it_was_looked_for(run, folder, monkeypatch):
    monkeypatch.setenv("ADVCLI_DATA", "shelf")
    for name in ("mnist", "fashion-mnist", "cifar10", "svhn", "imagenette"):
        ran = run("train", "--data", name)
        assert ran.code == 3
        assert f"{name}: not in shelf" in ran.err
        assert "--download" in ran.err
    assert not list(folder.iterdir())


def test_a_download_that_fails_is_one_line(run, folder, monkeypatch):
    def fetch(where):
        raise OSError("no network")

    monkeypatch.setattr(mnist, "fetch", fetch)
    ran = run("train", "--data", "mnist", "--data-dir", "shelf", "--download")
    assert ran.code == 4
    assert "could not be downloaded" in ran.err


def test_what_is_downloaded_is_read(folder, monkeypatch):
    monkeypatch.setattr(mnist, "fetch", lambda where: small_mnist(where, mnist, "MNIST/raw", monkeypatch))
    assert len(inputs.open_data("mnist", "test", Selection(data_dir="shelf", download=True))) == 50


def test_the_binary_version_of_cifar_is_read_to_the_byte(folder, monkeypatch):
    monkeypatch.setattr(cifar10, "RECORDS", 20)
    draw, made = np.random.default_rng(0), {}
    Path("cifar-10-batches-bin").mkdir()
    for name in (*cifar10.BATCHES["train"], *cifar10.BATCHES["test"]):
        made[name] = draw.integers(0, 256, (20, 3073)).astype(np.uint8)
        made[name][:, 0] = np.arange(20) % 10
        Path("cifar-10-batches-bin", name).write_bytes(made[name].tobytes())
    test = inputs.open_data("cifar10", "test", Selection(data_dir="."))
    np.testing.assert_array_equal((test.batch(0, 20)[0] * 255).round().numpy().reshape(20, -1), made["test_batch.bin"][:, 1:])
    assert (
        len(inputs.open_data("cifar10", "train", Selection(data_dir="."))),
        len(inputs.open_data("cifar10", "val", Selection(data_dir="."))),
    ) == (
        90,
        10,
    )
    Path("cifar-10-batches-bin/test_batch.bin").write_bytes(b"123")
    with pytest.raises(InputError, match=r"test_batch\.bin.*cut short"):
        inputs.open_data("cifar10", "test", Selection(data_dir="."))
    made["test_batch.bin"][3, 0] = 77
    Path("cifar-10-batches-bin/test_batch.bin").write_bytes(made["test_batch.bin"].tobytes())
    with pytest.raises(InputError, match="record 3: label 77"):
        inputs.open_data("cifar10", "test", Selection(data_dir="."))


def test_svhn_is_read_after_its_checksum_only(folder, monkeypatch):
    import hashlib

    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 30)).astype(np.uint8)
    data = io.BytesIO()
    scipy.io.savemat(data, {"X": pixels, "y": (np.arange(30) % 10 + 1)[:, None]})
    Path("test_32x32.mat").write_bytes(data.getvalue())
    with pytest.raises(InputError, match="MD5"):
        inputs.open_data("svhn", "test", Selection(data_dir="."))
    monkeypatch.setitem(svhn.MD5, "test_32x32.mat", hashlib.md5(data.getvalue()).hexdigest())
    found = inputs.open_data("svhn", "test", Selection(data_dir="."))
    np.testing.assert_array_equal((found.batch(0, 30)[0] * 255).round().numpy(), pixels.transpose(3, 2, 0, 1))
    assert found.labels[9] == 0  # their ten is a zero


def test_photographs_are_scaled_by_their_shorter_side_and_cut_in_the_middle(folder):
    photographs(Path("photos"), kind="png")
    found = class_folder("test", path="photos", image_size=24, resize=32)
    assert found.shape == (3, 24, 24)
    x, _ = found.batch(0, 1)
    with Image.open("photos/test/a/0.png") as one:
        width = round(one.width * 32 / one.height)
        scaled = one.resize((width, 32), Image.Resampling.BILINEAR)
        left = (width - 24) // 2
        wanted = np.asarray(scaled.crop((left, 4, left + 24, 28)))
    np.testing.assert_array_equal((x[0] * 255).round().numpy().transpose(1, 2, 0), wanted)


def test_imagenette_is_called_by_its_words(folder):
    """S1-X1: a folder of photographs by the numbers of ImageNet, resized and cropped at the centre."""
    photographs(Path("imagenette2-160"), names=("n01440764", "n03888257"), splits=("train", "val"))
    found = inputs.open_data("imagenette", "test", Selection(image_size=16, resize=20, data_dir="."))
    assert found.classes == ("tench", "parachute")
    assert (len(found), found.shape) == (24, (3, 16, 16))
    assert len(imagenette.WORDS) == 10
    val = inputs.open_data("imagenette", "val", Selection(image_size=16, resize=20, data_dir="."))
    assert len(val) == 2  # a tenth of the training split; their val is our test


def test_a_model_finds_its_set_again_with_its_sizes(run, folder):
    photographs(Path("photos"))
    command = ["--resize", "20", "--image-size", "16"]
    assert run("train", "--data", "photos", *command, "--arch", "softmax", "--epochs", "3").code == 0
    assert "softmax" in run("show", "model.safetensors").out
    ran = run("evaluate", "--json")
    assert ran.code == 0, ran.err
    assert '"n": 24' in ran.out


def test_other_photographs_take_the_sizes_of_the_models_own(run, folder):
    photographs(Path("photos"))
    photographs(Path("others"), count=9, kind="png")
    photographs(Path("square"), count=9, kind="png", size=16)
    sizes = ["--resize", "20", "--image-size", "16"]
    assert run("train", "--data", "photos", *sizes, "--arch", "softmax", "--epochs", "3").code == 0
    assert run("evaluate", "--data", "others", "--model", "model.safetensors").code == 0
    assert run("attack", "--data", "others", "--method", "fgsm").code == 0
    assert ImageSet("adversarial.h5").header["made"]["data"]["image_size"] == 16
    defend = ["defend", "--method", "squeeze-detector", "--fpr", "0.5"]
    for data in ("others:train", "photos:train"):
        ran = run(*defend, "--data", data, "--force")
        assert ran.code == 0, ran.err
        made = model_file.read("defended.safetensors")
        assert [made.metadata["made"]["data"][key] for key in ("resize", "image_size")] == [20, 16]
        line = json.loads(run("show", "defended.safetensors", "--json").out)[0]["command"]
        wanted = Path("defended.safetensors").read_bytes()
        Path("defended.safetensors").unlink()
        assert run(*shlex.split(line)[1:]).code == 0
        assert Path("defended.safetensors").read_bytes() == wanted
    assert run("evaluate", "--data", "others", "--image-size", "9", "--model", "model.safetensors").code == 3
    assert run("attack", "--data", "square", "--method", "fgsm").code == 0
    assert ImageSet("adversarial.h5").header["made"]["data"]["image_size"] is None, "what fits is left as it is"


def test_accuracy_on_training_images_is_measured_only_when_asked_and_says_so(run, model):
    assert "training images" not in run("evaluate").err
    ran = run("evaluate", "--data", "digits:train")
    assert "these are training images" in ran.err
    assert "digits:train" in ran.out


@SHARED
@pytest.mark.parametrize(("name", "classes", "counts"), [
    ("mnist", None, (60_000, 10_000)), ("mnist", "6,7", (12_183, 1_986)), ("cifar10", None, (50_000, 10_000)),
])  # fmt: skip
def test_published_counts(name, classes, counts):
    """S0-X1, S3-X1, S4-X1: every image of every class, and of 6 and 7 alone."""
    found = {
        split: inputs.open_data(name, split, Selection(classes=classes, data_dir=os.environ["ADVCLI_TEST_SHARED"]))
        for split in ("train", "val", "test")
    }
    assert (len(found["train"]) + len(found["val"]), len(found["test"])) == counts
    if name == "mnist" and classes is None:
        both = np.bincount(np.concatenate([found["train"].labels, found["val"].labels]))
        assert both.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert np.bincount(found["test"].labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    if name == "cifar10":
        assert set(np.bincount(found["test"].labels)) == {1000}
        assert set(np.bincount(np.concatenate([found["train"].labels, found["val"].labels]))) == {5000}


@SHARED
def test_mnist_equals_torchvisions_reading():
    from torchvision.datasets import MNIST

    wanted = MNIST(os.environ["ADVCLI_TEST_SHARED"], train=False)
    found = inputs.open_data("mnist", "test", Selection(data_dir=os.environ["ADVCLI_TEST_SHARED"]))
    assert torch.equal(found.pixels[:, 0], wanted.data)
    assert torch.equal(torch.from_numpy(found.labels), wanted.targets)


def test_a_download_goes_into_a_folder_that_is_there_or_not_yet(folder, monkeypatch):
    monkeypatch.setattr(mnist, "fetch", lambda where: small_mnist(where, mnist, "MNIST/raw", monkeypatch))
    Path("shelf").mkdir()
    for place in ("shelf", "over/there"):
        assert len(inputs.open_data("mnist", "test", Selection(data_dir=place, download=True))) == 50
