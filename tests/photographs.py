"""Folders of photographs, drawn at random."""

from pathlib import Path

import numpy as np
from PIL import Image


def photographs(root: Path, names=("a", "b"), splits=("train", "test"), count=12, kind="jpg", size=None) -> None:
    draw = np.random.default_rng(0)
    for split in splits:
        for label, name in enumerate(names):
            (root / split / name).mkdir(parents=True)
            for k in range(count):
                shape = (size, size) if size else (40 + k, 60 - k)
                pixels = (draw.random((*shape, 3)) * 120 + 120 * (label == np.arange(3))).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{k}.{kind}")
