"""Attacked sets that are made by hand, so that what came of every row is known."""

from pathlib import Path

import numpy as np

from advcli.files import imageset_writer

VICTIM = {"digest": "0" * 64, "network": "0" * 64, "defenses": [], "static": False}
OPTIONS = {"early_stop": True, "restarts": 1, "label": "true", "quantize": False, "seed": 0}
BUDGETS = ("0.1", "8/255")
MADE = {"verb": "attack", "method": None, "parameters": {}, "parents": [], "environment": {}, "options": OPTIONS,
        "data": {"name": "digits", "split": "test"}}  # fmt: skip
HEADER = {"kind": "adversarial", "classes": list("abc"), "split": "test", "range": [0, 1], "made": MADE, "victim": VICTIM,
          "norm": "l2", "epsilon": [], "tolerance": 1e-6, "access": "gradient", "repeated": False}  # fmt: skip


def write(path: str, columns: dict[str, np.ndarray], **header: object) -> Path:
    """An adversarial set with these columns; what is not given follows from the others, and means little."""
    images, labels = columns["images"].astype(np.float32), columns["labels"]
    n = len(labels)
    usual = {
        "index": np.arange(n),
        "original": np.arange(n),
        "originals": np.full_like(images, 0.5),
        "target": np.full(n, -1),
        "epsilon": np.full(n, np.nan, np.float32),
        "success": np.ones(n, np.uint8),
        "prediction": (labels + 1) % 3,
        "clean_prediction": labels,
        "queries": np.zeros(n, np.int64),
        "gradients": np.zeros(n, np.int64),
    }
    imageset_writer.write_rows(Path(path), HEADER | header, usual | columns | {"images": images})
    return Path(path)


def sweep(path: str = "sweep.h5", **header: object) -> dict[str, np.ndarray]:
    """Thirty images of three classes, sorted by class, under two budgets; every third pixel is left alone."""
    draw, n = np.random.default_rng(0), 60
    labels, epsilon = np.repeat(np.arange(3), 20), np.tile(np.array([0.1, 8 / 255], np.float32), 30)
    originals = draw.random((30, 1, 3, 3), dtype=np.float32) * np.float32(0.6) + np.float32(0.2)
    moved = draw.uniform(-1, 1, (n, 1, 3, 3)).astype(np.float32) * epsilon[:, None, None, None]
    moved[..., 0] = 0
    place = np.repeat(np.arange(30), 2)
    clean = np.where(np.arange(n) < 6, 2, labels)  # the first three images were wrong from the start
    moved[:6] = 0
    given = {"images": originals[place] + moved, "originals": originals, "original": place, "labels": labels,
             "epsilon": epsilon, "clean_prediction": clean, "success": np.where(np.arange(n) < 6, 0, 1).astype(np.uint8)}  # fmt: skip
    write(path, given, norm="linf", epsilon=list(BUDGETS), **header)
    return given
