"""Attacked sets of pairs of classes that are made by hand, and the perturbation file beside one."""

from itertools import product

import h5py
import numpy as np

import attacked_set
from advcli.files import imageset_writer

BUDGETS = {"0.1": 0.1, "0.3": 0.3}
SIGNED = ("labels", "index", "target", "epsilon", "success", "prediction", "clean_prediction")


def write(path: str, *, classes: int = 3, shape: tuple = (1, 4, 5), targeted: bool = True, names: list | None = None) -> None:
    """Two originals of every class under two budgets, to every other class; the second one of class 0 was wrong from the start."""
    draw = np.random.default_rng(2)
    labels = np.repeat(np.arange(classes), 2)
    originals = draw.random((2 * classes, *shape)).astype(np.float32)
    others = range(1, classes) if targeted else [1]
    rows = np.array([(k, t, b) for k, t, b in product(range(2 * classes), others, range(2))])
    place, epsilon = rows[:, 0], np.array([0.1, 0.3], np.float32)[rows[:, 2]]
    sign = draw.choice(np.array([-1, 0, 1], np.float32), (len(rows), *shape))
    images = (originals[place] + sign * epsilon[:, None, None, None]).clip(0, 1)
    reached = (labels[place] + draw.integers(0, classes, len(rows))) % classes
    target = (labels[place] + rows[:, 1]) % classes
    clean = labels[place].copy()
    clean[place == 1] = 1
    won = (reached == target) if targeted else (reached != labels[place])
    columns = {
        "images": images,
        "originals": originals,
        "original": place,
        "index": place,
        "labels": labels[place],
        "epsilon": epsilon,
        "clean_prediction": clean,
        "prediction": reached,
        "target": target if targeted else np.full(len(rows), -1),
        "success": (won & (clean == labels[place])).astype(np.uint8),
    }
    attacked_set.write(path, columns, epsilon=list(BUDGETS), norm="linf", classes=names or [f"c{k}" for k in range(classes)])


def write_perturbations(path: str, of: str) -> None:
    """The file of differences of such a set."""
    with h5py.File(of) as file:
        columns = {name: file[name][:] for name in SIGNED}
        columns["images"] = file["images"][:] - file["originals"][:][file["original"][:]]
        classes = [f"c{k}" for k in range(int(columns["labels"].max()) + 1)]
    header = attacked_set.HEADER | {"kind": "perturbation", "range": [-1, 1], "of": "0" * 64, "classes": classes}
    imageset_writer.write_rows(path, header | {"norm": "linf", "epsilon": list(BUDGETS)}, columns)


def chosen(path: str, budget: str, value: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """All columns of a set, and its attacked rows under one budget."""
    with h5py.File(path) as file:
        found = {name: file[name][:] for name in file}
    if "originals" in found:
        found["before"] = found["originals"][found["original"]]
        found["moved"] = found["images"] - found["before"]
    own = found["clean_prediction"] == found["labels"]
    return found, own & (found["target"] != found["labels"]) & np.isclose(found["epsilon"], value)
