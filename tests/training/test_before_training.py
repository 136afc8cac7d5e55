"""What a training ends with is read before it begins and again before its parts are gone; what nothing could open is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advcli.catalog import discovery
from advcli.errors import AdvcliError
from advcli.files import atomic, sandbox
from advcli.networks import classifier, model_file, trial_run

QUICK = ["train", "--arch", "softmax", "--epochs", "2", "--limit", "80"]


def class_folders(*names: str) -> None:
    for number, name in enumerate(names):
        for split in ("train", "val", "test"):
            folder = Path("photos") / split / name
            folder.mkdir(parents=True)
            for k in range(3):
                Image.fromarray(np.full((8, 8), 80 * number + k, np.uint8)).save(folder / f"{k}.png")


def refused(run, *words: str, code: int = 3) -> str:
    """The refusal, which comes before anything is written."""
    before = sorted(Path().rglob("*"))
    ran = run(*words)
    assert ran.code == code, ran.err
    assert "fault" not in ran.err
    assert sorted(Path().rglob("*")) == before
    return ran.err


@pytest.mark.parametrize("name", ["no\u00a0break", "back\\slash", "new\nline", "bell\a", "over\u202eride"])
def test_a_class_that_no_file_can_name_is_refused_before_the_first_epoch(name, run, folder):
    class_folders("plain", name)
    said = refused(run, "train", "--data", "photos", "--arch", "softmax", "--epochs", "1")
    assert "no valid class name" in said
    assert name not in said, "what would garble a terminal is written out"
    assert "no valid class name" in refused(run, "import", "photos", "--split", "train")


@pytest.mark.parametrize("words", [["--std", "1e6"], ["--mean", "1e6"], ["--mean", "-2e9"], ["--std", "1e-13"]])
def test_a_normalisation_that_no_file_can_hold_is_refused(words, run, folder):
    assert words[0] in refused(run, *QUICK, *words, code=2)
    assert run(*QUICK, "--std", "10").code == 0
    model_file.read("model.safetensors").module()


OWN = '''"""Networks that a file cannot hold."""
import torch
from torch import nn

from advcli.extend import architecture

built = 0


@architecture(family="own")
def another_each_time(shape, classes):
    global built
    built += 1
    return nn.Sequential(nn.Flatten(), *[nn.Identity() for _ in range(built)], nn.Linear(64, classes))


@architecture(family="own")
class overflowing(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.fc = nn.Linear(64, classes)
        self.register_buffer("largest", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.largest += 1e38
        return self.fc(x.flatten(1))


@architecture(family="own")
def normalised(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, classes))
'''


@pytest.fixture
def own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "odd.py").write_text(OWN)
    monkeypatch.syspath_prepend(folder)


def test_a_network_that_is_another_each_time_it_is_built_is_refused(run, own):
    said = refused(run, "train", "--arch", "odd:another_each_time", "--epochs", "1", "--limit", "80")
    assert "would end in a file that cannot be opened: the weights do not fit" in said


def test_a_network_that_fails_on_such_images_is_refused_in_words(run, own):
    np.savez(
        "plain.npz",
        images=np.arange(8 * 3 * 12 * 12, dtype=np.uint8).reshape(8, 3, 12, 12),
        labels=np.arange(8) % 2,
        split="train",
    )
    said = refused(run, "train", "--data", "plain.npz", "--arch", "squeezenet1_1", "--epochs", "1", code=2)
    assert "squeezenet1_1: fails on images of 3x12x12 (RuntimeError: Given input size" in said
    said = refused(run, "train", "--arch", "odd:overflowing", "--data", "plain.npz", "--epochs", "1", code=2)
    assert "odd:overflowing: fails on images of 3x12x12 (RuntimeError: mat1 and mat2" in said


@pytest.mark.parametrize(("images", "size"), [(21, 10), (20, 1)])
def test_a_last_batch_of_one_image_is_refused_by_a_network_that_needs_two(images, size, run, own):
    words = ("train", "--arch", "odd:normalised", "--epochs", "1", "--limit", str(images))
    said = refused(run, *words, "--batch-size", str(size), code=2)
    assert f"--batch-size {size}: {images} images leave one for the last batch" in said
    assert run(*words, "--batch-size", "7" if images == 21 else "10").code == 0


def test_logits_of_minus_infinity_are_no_random_numbers():
    class Never(torch.nn.Module):
        def forward(self, x):
            return torch.stack([x.sum((1, 2, 3)), -x.sum((1, 2, 3)), torch.full((len(x),), -torch.inf)], 1)

    never = classifier.Classifier(Never(), [0.0], [1.0], shape=(1, 8, 8), classes=3)
    logits, _ = trial_run.checked_answers(never, torch.device("cpu"))
    assert torch.isinf(logits[:, 2]).all()


def test_weights_that_are_not_finite_end_the_training_with_a_word_and_with_its_parts(run, own):
    command = ["train", "--arch", "odd:overflowing", "--limit", "80", "--epochs", "5"]
    ran = run(*command)
    assert ran.code == 4
    assert "largest is not finite after epoch 2" in ran.err
    assert not Path("model.safetensors").exists()
    assert any(Path().glob("**/000000000-000000001*")), "the first epoch is kept"


class Flipping(atomic.Calls):
    """A disk that turns one bit of every model that is written."""

    def write(self, handle, data):
        kept = bytes(data)
        target = os.readlink(f"/proc/self/fd/{handle}")
        if ".model.safetensors" in target and len(kept) > 1000:
            kept = kept[:-5] + bytes([kept[-5] ^ 1]) + kept[-4:]
        return super().write(handle, kept)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the file behind a handle is looked up there")
def test_a_model_that_does_not_stand_on_the_disk_leaves_the_parts_to_go_on_from(run, folder, monkeypatch):
    assert run(*QUICK, "-o", "whole.safetensors").code == 0
    monkeypatch.setattr(atomic, "calls", Flipping())
    ran = run(*QUICK)
    assert ran.code == 4
    assert "differs from what was written" in ran.err
    assert not Path("model.safetensors").exists()
    assert any(Path().glob("**/000000000-000000002*"))
    monkeypatch.setattr(atomic, "calls", atomic.Calls())
    ran = run(*QUICK)
    assert ran.code == 0
    assert "resuming after epoch 2 of 2" in ran.err
    assert Path("model.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()


def test_nothing_is_published_that_the_reader_refuses(run, folder):
    assert run(*QUICK).code == 0
    good = model_file.read("model.safetensors")
    for metadata, tensors in (
        ({**good.metadata, "classes": ["a\nb", *good.classes[1:]]}, good.tensors),
        (good.metadata, {**good.tensors, "more": torch.zeros(2)}),
        (good.metadata, {name: tensor * torch.inf for name, tensor in good.tensors.items()}),
    ):
        with pytest.raises(AdvcliError):
            model_file.write(Path("new.safetensors"), metadata, tensors)
        assert not Path("new.safetensors").exists()


def test_a_model_of_ones_own_code_can_be_shown_and_exported_without_running_it(run, own, monkeypatch):
    assert run("train", "--arch", "odd:overflowing", "--epochs", "1", "--limit", "80").code == 0
    monkeypatch.setattr(discovery, "PERMITTED", set())
    monkeypatch.setattr(sandbox, "trusted_digests", set())
    assert run("show", "model.safetensors").code == 0
    assert run("export", "model.safetensors").code == 0
    ran = run("evaluate", "--data", "digits")
    assert ran.code == 3
    assert "--allow odd:overflowing" in ran.err
    assert run("evaluate", "--data", "digits", "--allow", "odd:overflowing").code == 0
