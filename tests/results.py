"""What a command left: the columns of a set, the rows of a report."""

import json

import h5py
import numpy as np


def columns(name: str) -> dict[str, np.ndarray]:
    with h5py.File(name) as file:
        return {key: file[key][:] for key in file}


def rows(ran) -> list[dict]:
    assert ran.code == 0, ran.err
    return json.loads(ran.out)["rows"]


def one(found: list[dict], **wanted) -> dict:
    (row,) = [row for row in found if all(row[k] == v for k, v in wanted.items())]
    return row
