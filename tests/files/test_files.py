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

from advcli.errors import Damaged, InputError
from advcli.files import imageset_writer
from advcli.files.imageset_reader import ImageSet
from advcli.files.imageset_writer import BLOCK
from advcli.networks import model_file

MADE = {"verb": "attack", "method": None, "data": None, "parameters": {}, "options": {}, "parents": [], "environment": {}}
HEADER = {"kind": "clean", "classes": ["a", "b"], "split": "test", "range": [0, 1], "made": MADE}


def columns(count=3, dtype=np.float32):
    images = np.random.default_rng(0).random((count, 1, 4, 4))
    images = images.astype(np.float32) if dtype == np.float32 else (images * 255).astype(np.uint8)
    return {"images": images, "labels": np.arange(count) % 2, "index": np.arange(count)}


def resealed(path: Path) -> Path:
    """Give a changed file a digest that fits."""
    data = path.read_bytes()
    path.write_bytes(imageset_writer.block(hashlib.sha256(data[BLOCK:]).hexdigest()) + data[BLOCK:])
    return path


@pytest.mark.parametrize("count", [0, 1, 5, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_what_is_written_is_read_and_equal_content_is_equal_bytes(folder, count, dtype):
    wanted = columns(count, dtype)
    digests = {imageset_writer.write_rows(Path(name), HEADER, wanted) for name in ("a.h5", "b.h5")}
    assert Path("a.h5").read_bytes() == Path("b.h5").read_bytes()
    with ImageSet("a.h5") as opened:
        assert {opened.digest} == digests
        assert opened.header == HEADER
        pixels = opened.rows("images", 0, count).numpy()
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(pixels, wanted["images"] if dtype == np.float32 else wanted["images"] / np.float32(255))
        picked = opened.pick("images", [count - 1, 0, 0] if count else [])
        np.testing.assert_array_equal(picked.numpy(), pixels[[count - 1, 0, 0]] if count else pixels)
        assert opened.pick("images", []).shape == (0, *pixels.shape[1:])


def test_every_single_changed_byte_of_an_image_set_is_noticed(folder):
    path = Path("a.h5")
    imageset_writer.write_rows(path, HEADER, columns(1))
    whole = path.read_bytes()
    with ImageSet(path):
        pass
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        with pytest.raises(InputError):
            ImageSet(path)


def test_every_single_changed_byte_of_a_model_file_is_noticed(run, folder):
    run("train", "--arch", "softmax", "--epochs", "1", "--limit", "64")
    path = Path("model.safetensors")
    whole = path.read_bytes()
    model_file.read(path)
    for place in range(len(whole)):
        with pytest.raises(InputError):
            model_file.checked(path, whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])


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
    imageset_writer.write_rows(path, HEADER, columns())
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
        file.attrs["format"] = np.bytes_(imageset_writer.MAGIC)
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
    with pytest.raises(InputError, match=words):
        ImageSet(path)
    with ImageSet(path, strange=False) as opened, pytest.raises(InputError, match=words):
        opened.rows("images", 0, 3)


def test_a_model_with_forged_metadata_is_refused(run, model):
    good = model_file.read(model)
    metadata = {**good.metadata, "classes": list("abcdefghij")}
    model.write_bytes(model_file.serialise(metadata, good.tensors))
    with pytest.raises(Damaged):
        model_file.read(model)


def test_a_model_with_more_metadata_or_padding_is_refused(model):
    good = model_file.read(model)
    text = model_file.canonical(good.metadata).decode()
    model.write_bytes(safetensors.torch.save(good.tensors, metadata={"advcli": text, "more": "x"}))
    with pytest.raises(Damaged):
        model_file.read(model)
    data = model_file.serialise(good.metadata, good.tensors)
    (size,) = struct.unpack("<Q", data[:8])
    model.write_bytes(struct.pack("<Q", size + 8) + data[8 : 8 + size] + b" " * 8 + data[8 + size :])
    with pytest.raises(Damaged):
        model_file.read(model)


def test_weights_that_do_not_fit_name_the_first_bad_one(model):
    good = model_file.read(model)
    less = dict(list(good.tensors.items())[1:])
    with pytest.raises(InputError, match="missing"):
        model_file.ModelFile(model, good.metadata, less).module()
    with pytest.raises(InputError, match="unexpected"):
        model_file.ModelFile(model, good.metadata, {**good.tensors, "zzz": torch.zeros(1)}).module()


@pytest.mark.parametrize(
    "change",
    [{"kind": "strange"}, {"kind": []}, {"split": []}, {"made": {**MADE, "method": 3}}, {"made": {**MADE, "data": 3}},
     {"made": {**MADE, "parents": [{"role": "model", "digest": "$(id)"}]}}, {"made": {**MADE, "method": "a\x1b]0;"}},
     {"made": {**MADE, "options": {"a b": 1}}}, {"classes": "ab"}, {"classes": ["a", "a"]}, {"classes": ["..", "b"]}, {"classes": ["a/b", "c"]},
     {"classes": []}, {"classes": [1, 2]}, {"split": "other"}, {"range": [0, 255]}, {"range": "ab"}, {"made": {}}, {"made": None},
     {"made": {**MADE, "verb": "foreign"}}, {"made": {**MADE, "parents": [1]}}, {"kind": "adversarial"}, {"kind": "perturbation"},
     {"kind": "filtered"}],
    ids=str,
)  # fmt: skip
def test_a_header_that_says_nonsense_is_refused(folder, change):
    path = Path("a.h5")
    imageset_writer.write_rows(path, {**HEADER, **change}, columns())
    with pytest.raises(InputError, match=r"a\.h5"):
        ImageSet(path)


@pytest.mark.parametrize(
    "change",
    [{"format": "advcli/model/99"}, {"members": 3}, {"members": [3]}, {"members": {"a": 1}}, {"arch": 3}, {"classes": None}, {"classes": ["a"] * 10}, {"input": [8, 8]}, {"input": [1, 8, -8]}, {"normalize": {}},
     {"normalize": {"mean": [0], "std": [0]}}, {"defenses": ["x"]}, {"arch": {}}, {"arch": {"name": "nope", "parameters": {}}},
     {"arch": {"name": "cnn", "parameters": {"width": "x"}}}, {"made": None}, {"data": "x"}, {"input": [1, 12, 12]}],
    ids=str,
)  # fmt: skip
def test_metadata_that_says_nonsense_is_refused(model, change):
    good = model_file.read(model)
    model.write_bytes(model_file.packed({**good.metadata, **change}, good.tensors))
    with pytest.raises(InputError):
        model_file.read(model).module()


def test_a_model_file_runs_no_code_unless_the_user_names_it_too(run, model):
    Path("evil.py").write_text("open('sprung', 'w').close()\n")
    good = model_file.read(model)
    model.write_bytes(model_file.packed({**good.metadata, "arch": {"name": "evil:f", "parameters": {}}}, good.tensors))
    for command in (["verify", model], ["evaluate"], ["attack", "--method", "fgsm"], ["defend"], ["show", model]):
        ran = run(*command)
        assert ran.code == (0 if command[0] == "show" else 3), ran.err
        assert not Path("sprung").exists()
    assert "--allow evil:f" in ran.err or "--allow evil:f" in run("evaluate").err
    run("evaluate", "--allow", "evil:f")
    assert Path("sprung").exists()


def test_broken_numbers_are_no_model(run, model):
    good = model_file.read(model)
    model.write_bytes(model_file.packed(good.metadata, {name: tensor * torch.nan for name, tensor in good.tensors.items()}))
    ran = run("evaluate")
    assert ran.code == 3
    assert "not finite" in ran.err


def test_verify_passes_over_a_damaged_copy_of_the_model(run, model):
    run("attack", "--method", "fgsm", "--limit", "4")
    whole = bytearray(model.read_bytes())
    whole[-5] ^= 1
    Path("a_copy.safetensors").write_bytes(whole)
    Path("a_junk.safetensors").write_bytes(b"\x16\0\0\0\0\0\0\0" + b'{"__metadata__":[1]}  ')
    assert run("verify", "adversarial.h5").code == 0


def test_the_names_of_others_are_not_written_over(run, model):
    kept = dict.fromkeys(("perturbations.h5", "n.perturbations.h5", "y.log.jsonl", "z.h5.parts/mine.txt"), b"precious")
    for name, data in kept.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(data)
    assert run("attack", "--method", "fgsm", "--limit", "2").code == 2
    assert run("attack", "--method", "fgsm", "--limit", "2", "-o", "n.h5").code == 2
    assert run("attack", "--method", "fgsm", "--limit", "2", "-o", "z.h5").code == 2
    assert run("train", "--epochs", "1", "--limit", "40", "-o", "y.safetensors").code == 2
    assert {name: Path(name).read_bytes() for name in kept} == kept
    for wrong in ("x", "x.hdf5", "pgd-0.1", "x.safetensors"):
        assert run("attack", "--method", "fgsm", "--limit", "2", "-o", wrong).code == 2
    assert run("attack", "--method", "fgsm", "--limit", "2", "-o", "pgd-0.1.h5").code == 0
    assert Path("pgd-0.1.perturbations.h5").exists()


PARTLY = ["attack", "--method", "pgd", "--steps", "2", "--limit", "30", "--batch-size", "8"]


def stopped_before_assembly(run, *more) -> bytes:
    """The bytes of the undisturbed run, after a second one that was stopped with all its parts finished."""
    from advcli.files import atomic

    run(*PARTLY, *more)
    wanted = Path("adversarial.h5").read_bytes()
    Path("adversarial.h5").unlink()

    class Stopping(atomic.Calls):
        def rename(self, old, new):
            if new.name == "adversarial.h5":
                raise KeyboardInterrupt
            super().rename(old, new)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic, "calls", Stopping())
        assert run(*PARTLY, *more).code == 130
    assert not Path("adversarial.h5").exists()
    return wanted


def test_a_damaged_part_is_made_again(run, model):
    wanted = stopped_before_assembly(run, "--part-size", "1")
    parts = sorted(Path("adversarial.h5.parts").glob("*.part"))
    assert len(parts) == 4
    parts[0].write_bytes(parts[0].read_bytes()[:100])
    data = bytearray(parts[1].read_bytes())
    data[-3] ^= 8
    parts[1].write_bytes(data)
    assert run(*PARTLY, "--part-size", "1").code == 0
    assert Path("adversarial.h5").read_bytes() == wanted


@pytest.mark.parametrize("sizes", [("1", "2"), ("2", "1"), ("1", "9")], ids=str)
def test_parts_of_another_size_are_not_taken_for_ours(run, model, sizes):
    wanted = stopped_before_assembly(run, "--part-size", sizes[0])
    assert run(*PARTLY, "--part-size", sizes[1]).code == 0
    assert Path("adversarial.h5").read_bytes() == wanted


def test_a_dataset_that_declares_more_than_it_stores_is_refused(folder):
    huge = {"shape": (10**12,), "dtype": "<i8", "chunks": (1024,)}
    path = stranger(lambda f: [f.__delitem__("labels"), f.create_dataset("labels", **huge)])
    with pytest.raises(InputError, match="declares"):
        ImageSet(path)


@pytest.mark.parametrize("change", [{"made": 1}, {"x": 1}, {"made": {"verb": "stats"}}], ids=str)
def test_a_forged_note_in_a_folder_of_statistics_is_refused(run, model, change):
    run("attack", "--method", "fgsm", "--limit", "3")
    Path("perturbations.stats").mkdir()
    Path("perturbations.stats/stats.json").write_text(json.dumps(change))
    assert run("stats").code == 2
    assert run("show", "perturbations.stats").code == 3
