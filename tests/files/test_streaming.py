"""A set or a folder of many pictures is never in memory whole, and a folder is decoded while the network learns."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advcli.files import imageset_writer
from advcli.files.imageset_reader import ImageSet

pytestmark = pytest.mark.sweep

MEASURED = """
import os, sys
os.environ["OMP_NUM_THREADS"] = "1"
from advcli.cli.app import main
code = main(sys.argv[1:])
import resource
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(*words: object) -> int:
    """The peak memory of a true process that runs a command line, in KiB."""
    ran = subprocess.run([sys.executable, "-c", MEASURED, *map(str, words)], capture_output=True, text=True, check=False)
    code, found = ran.stdout.split()[-2:]
    assert code == "0", ran.stderr
    return int(found)


def many(root: Path, count: int) -> None:
    """So many JPEG pictures of 64x64 pixels: hard links to some, for only reading them matters."""
    draw = np.random.default_rng(0)
    for label, name in enumerate("ab"):
        (root / "seeds").mkdir(parents=True, exist_ok=True)
        for k in range(50):
            pixels = (draw.random((64, 64, 3)) * 150 + 100 * (label == np.arange(3))).astype(np.uint8)
            Image.fromarray(pixels).save(root / "seeds" / f"{name}{k}.jpg")
        for split, share in (("train", count // 2), ("test", 10)):
            folder = root / "set" / split / name
            folder.mkdir(parents=True)
            for k in range(share):
                os.link(root / "seeds" / f"{name}{k % 50}.jpg", folder / f"{k:05d}.jpg")


def test_memory_does_not_grow_with_the_pictures(tmp_path):
    """Peak memory of the training process, for 1,000 and for 10,000 pictures, which would be 120 MB."""
    peaks = {}
    for count in (1_000, 10_000):
        root = tmp_path / str(count)
        many(root, count)
        options = ("--arch", "softmax", "--epochs", "1", "--batch-size", "64", "--quiet")
        peaks[count] = peak("train", "--data", root / "set", *options, "-o", root / "m.safetensors")
    assert peaks[10_000] < 1.1 * peaks[1_000], peaks


def rows(path: Path, count: int) -> Path:
    """A set of so many pictures of 1x28x28, which is written piece by piece as well."""
    header = {"kind": "clean", "classes": list("0123456789"), "split": "test", "range": [0, 1],
              "made": {"verb": "attack", "method": None, "data": None, "parameters": {}, "options": {}, "parents": [],
                       "environment": {}}}  # fmt: skip
    draw, each = np.random.default_rng(0), min(count, 1000)
    images = draw.random((each, 1, 28, 28), dtype=np.float32)
    labels, index = np.arange(count) % 10, np.arange(count)
    layout = {"images": (images.dtype, (count, 1, 28, 28)), "labels": (labels.dtype, (count,)), "index": (index.dtype, (count,))}
    fill = {"images": lambda: [images] * (count // each), "labels": lambda: [labels], "index": lambda: [index]}
    imageset_writer.write(path, header, layout, fill)
    return path


COMMANDS = {"export": ["export"], "stats": ["stats", "--by", "label"]}


@pytest.mark.parametrize("verb", COMMANDS)
def test_memory_does_not_grow_with_the_rows_of_a_set(verb, tmp_path):
    """Peak memory of the process, for 1,000 rows and for 40,000, which are 126 MB."""
    peaks = {count: peak(*COMMANDS[verb], rows(tmp_path / f"{count}.h5", count), "--quiet") for count in (1_000, 40_000)}
    assert peaks[40_000] < 1.1 * peaks[1_000], peaks


def test_rows_are_read_once_and_near_ones_together(folder, monkeypatch):
    """A row of a sweep asks for the original of the row before it; so do 50 budgets of 10,000 images."""
    with ImageSet(rows(Path("some.h5"), 3000)) as opened:
        whole, reads = opened.rows("images", 0, 3000), []
        stored = ImageSet._stored
        monkeypatch.setattr(ImageSet, "_stored", lambda *given: reads.append(given[1:]) or stored(*given))
        draw = np.random.default_rng(0)
        for places in (np.repeat(np.arange(40), 50), np.flatnonzero(np.arange(900) % 10), np.arange(7), [], [5, 3, 3, 2999, 0]):
            reads.clear()
            assert torch.equal(opened.pick("images", places), whole[torch.as_tensor(np.array(places, np.int64))])
            assert len(reads) == (2 if 2999 in places else 1)
        places = draw.integers(0, 3000, 200)
        assert torch.equal(opened.pick("images", places), whole[torch.from_numpy(places)])


def test_an_npz_has_the_bytes_that_numpy_writes(run, folder):
    rows(Path("some.h5"), 3000)  # more than is read at a time
    assert run("export", "some.h5").code == 0
    with np.load("some.npz", allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    assert found["images"].shape == (3000, 1, 28, 28)
    assert list(found["labels"][:12]) == [*range(10), 0, 1]
    np.savez("numpys.npz", allow_pickle=False, **found)
    assert Path("some.npz").read_bytes() == Path("numpys.npz").read_bytes()


def test_the_next_batches_are_decoded_while_one_is_learned(tmp_path):
    """By their order, not by the clock: when a batch is handed over, later ones have been asked for already."""
    from advcli.datasets.folder import folder as class_folder
    from advcli.training.loader import AHEAD, Batches

    many(tmp_path, 400)
    data = class_folder("train", path=str(tmp_path / "set"))
    asked = []

    def reading(places):
        asked.append(len(places))
        return data.read(places)

    from dataclasses import replace

    batches = Batches(replace(data, read=reading), torch.device("cpu"), 16)
    order = [np.arange(16 * k, 16 * (k + 1)) for k in range(12)]
    stream = batches.of(order)
    for number, _ in enumerate(stream):
        deadline = 0
        while len(asked) < min(12, number + 2) and deadline < 2000:  # the reader goes on by itself while we wait
            deadline += 1
            __import__("time").sleep(0.005)
        assert len(asked) >= min(12, number + 2)
        assert len(asked) <= number + AHEAD + 3
