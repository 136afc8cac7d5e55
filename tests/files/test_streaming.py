"""A folder of many pictures is never in memory whole, and is decoded while the network learns."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

MEASURED = """
import os, sys, threading
os.environ["OMP_NUM_THREADS"] = "1"
from advcli.cli.app import main
code = main(["train", "--data", sys.argv[1], "--arch", "softmax", "--epochs", "1", "--batch-size", "64", "--quiet", "-o", sys.argv[2]])
import resource
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


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
    """Peak memory of the training process, for 2,000 and for 20,000 pictures, which would be 240 MB."""
    peaks = {}
    for count in (2_000, 20_000):
        root = tmp_path / str(count)
        many(root, count)
        command = [sys.executable, "-c", MEASURED, str(root / "set"), str(root / "m.safetensors")]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        code, peak = ran.stdout.split()[-2:]
        assert code == "0", ran.stderr
        peaks[count] = int(peak)
    assert peaks[20_000] < 1.1 * peaks[2_000], peaks


def test_the_next_batches_are_decoded_while_one_is_learned(tmp_path):
    """By their order, not by the clock: when a batch is handed over, later ones have been asked for already."""
    import torch

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
