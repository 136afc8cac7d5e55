"""Image sets and model files: equal content gives equal bytes, any changed byte is noticed, strangers are refused."""

import hashlib
import json
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch

from advcli import imageset, modelfile
from advcli.errors import InputError
from advcli.imageset import BLOCK, Damaged, ImageSet

HEADER = {"kind": "clean", "classes": ["a", "b"], "split": "test", "range": [0, 1], "made": {"verb": "test"}}


def columns(count=3, dtype=np.float32):
    images = np.random.default_rng(0).random((count, 1, 4, 4))
    images = images.astype(np.float32) if dtype == np.float32 else (images * 255).astype(np.uint8)
    return {"images": images, "labels": np.arange(count) % 2, "index": np.arange(count)}


def resealed(path: Path) -> Path:
    """Give a changed file a digest that fits."""
    data = path.read_bytes()
    path.write_bytes(imageset.block(hashlib.sha256(data[BLOCK:]).hexdigest()) + data[BLOCK:])
    return path


@pytest.mark.parametrize("count", [0, 1, 5, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_what_is_written_is_read_and_equal_content_is_equal_bytes(folder, count, dtype):
    wanted = columns(count, dtype)
    digests = {imageset.write_rows(Path(name), HEADER, wanted) for name in ("a.h5", "b.h5")}
    assert Path("a.h5").read_bytes() == Path("b.h5").read_bytes()
    with ImageSet("a.h5") as opened:
        assert {opened.digest} == digests
        assert opened.header == HEADER
        pixels = opened.rows("images", 0, count).numpy()
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(pixels, wanted["images"] if dtype == np.float32 else wanted["images"] / np.float32(255))
        picked = opened.pick("images", [count - 1, 0, 0] if count else [])
        np.testing.assert_array_equal(picked.numpy(), pixels[[count - 1, 0, 0]] if count else pixels)


def test_every_single_changed_byte_of_an_image_set_is_noticed(folder):
    path = Path("a.h5")
    imageset.write_rows(path, HEADER, columns(1))
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        with pytest.raises(InputError):
            ImageSet(path)


def test_every_single_changed_byte_of_a_model_file_is_noticed(run, folder):
    run("train", "--arch", "softmax", "--epochs", "1", "--limit", "64")
    path = Path("model.safetensors")
    whole = path.read_bytes()
    modelfile.read(path)
    for place in [*range(0, 2600), *range(2600, len(whole), 7)]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        with pytest.raises(InputError):
            modelfile.read(path)


def test_verify_says_no_for_a_changed_byte(run, model):
    run("attack", "--method", "fgsm", "--limit", "4")
    for path in (Path("adversarial.h5"), Path("perturbations.h5"), Path("model.safetensors")):
        whole = path.read_bytes()
        for place in (0, 9, 100, 511, 512, 700, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            assert run("verify", path).code in (1, 3)
        path.write_bytes(whole)
        assert run("verify", path).code == 0


def test_truncated_files_and_strangers_are_refused_by_name(folder):
    path = Path("a.h5")
    imageset.write_rows(path, HEADER, columns())
    whole = path.read_bytes()
    for data in (b"", b"hello", whole[:100], whole[:600], whole[:-1], whole[BLOCK:]):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"a\.h5"):
            ImageSet(path)
    with pytest.raises(InputError, match=r"missing\.h5"):
        ImageSet("missing.h5")


def stranger(change) -> Path:
    path = Path("a.h5")
    with h5py.File(path, "w", userblock_size=BLOCK) as file:
        file.attrs["format"] = np.bytes_(imageset.MAGIC)
        file["header"] = np.frombuffer(json.dumps(HEADER).encode(), np.uint8)
        for name, values in columns().items():
            file[name] = values
        change(file)
    return resealed(path)


def replaced(name, values, **how):
    def change(file):
        del file[name]
        file.create_dataset(name, data=values, **how)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.create_dataset("extra", data=[1]), "extra"),
        (lambda f: f.attrs.modify("format", np.bytes_(b"other/1")), "format"),
        (replaced("labels", np.array([0, 1, 2])), "row 2"),
        (replaced("labels", np.array([0, 1])), "shape"),
        (replaced("labels", np.array([0.0, 1, 1])), "type"),
        (replaced("images", np.zeros((3, 4, 4), np.float32)), "images"),
        (replaced("header", np.frombuffer(b"{", np.uint8)), "JSON"),
        (replaced("header", np.frombuffer(b"{}", np.uint8)), "header"),
        (lambda f: f.__delitem__("index"), "index"),
        (lambda f: f.__setitem__("target", h5py.ExternalLink("other.h5", "/x")), "target"),
        (lambda f: f.__setitem__("target", h5py.SoftLink("/labels")), "target"),
    ],
)
def test_what_is_no_image_set_is_refused_with_the_place(folder, change, words):
    with pytest.raises(InputError, match=words):
        ImageSet(stranger(change))


def test_external_and_virtual_storage_are_refused(folder):
    Path("raw").write_bytes(bytes(24))
    path = stranger(replaced("index", None, shape=(3,), dtype="<i8", external=[("raw", 0, 24)]))
    with pytest.raises(InputError, match="external"):
        ImageSet(path)


def test_a_chunked_and_compressed_file_of_another_tool_is_read(folder):
    path = stranger(replaced("images", columns()["images"], chunks=(1, 1, 4, 4), compression="gzip"))
    with ImageSet(path) as opened:
        np.testing.assert_array_equal(opened.rows("images", 0, 3).numpy(), columns()["images"])


@pytest.mark.parametrize(("value", "words"), [(np.nan, "row 1"), (-0.1, "-0.1"), (1.01, "1.01"), (200, "divide by 255")])
def test_pixels_out_of_range_are_refused_with_the_first_bad_row(folder, value, words):
    images = columns()["images"].copy()
    images[1, 0, 2, 2] = value
    path = stranger(replaced("images", images))
    with ImageSet(path) as opened, pytest.raises(InputError, match=words):
        opened.rows("images", 0, 3)


def test_a_model_with_a_forged_recipe_is_refused(run, model):
    good = modelfile.read(model)
    recipe = {**good.recipe, "classes": list("abcdefghij")}
    model.write_bytes(modelfile.serialise(recipe, good.tensors))
    with pytest.raises(Damaged):
        modelfile.read(model)


def test_a_model_with_more_metadata_or_padding_is_refused(model):
    good = modelfile.read(model)
    text = modelfile.canonical(good.recipe).decode()
    model.write_bytes(safetensors.torch.save(good.tensors, metadata={"advcli": text, "more": "x"}))
    with pytest.raises(Damaged):
        modelfile.read(model)
    data = modelfile.serialise(good.recipe, good.tensors)
    (size,) = struct.unpack("<Q", data[:8])
    model.write_bytes(struct.pack("<Q", size + 8) + data[8 : 8 + size] + b" " * 8 + data[8 + size :])
    with pytest.raises(Damaged):
        modelfile.read(model)


def test_weights_that_do_not_fit_name_the_first_bad_one(model):
    good = modelfile.read(model)
    less = dict(list(good.tensors.items())[1:])
    with pytest.raises(InputError, match="missing"):
        modelfile.ModelFile(model, good.recipe, less).module()
    with pytest.raises(InputError, match="unexpected"):
        modelfile.ModelFile(model, good.recipe, {**good.tensors, "zzz": torch.zeros(1)}).module()
