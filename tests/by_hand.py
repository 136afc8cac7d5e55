"""What tests recompute figures with: the arrays of a set by h5py, intervals by SciPy, the outputs of a network by one call."""

import h5py
import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from advcli.networks.model_file import read


def columns(path: str) -> dict[str, np.ndarray]:
    """The arrays of a set."""
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file}


def chosen(found: list[dict], **cells: object) -> dict:
    """The only line of a table with these cells."""
    (one,) = [line for line in found if all(line[name] == str(cell) for name, cell in cells.items())]
    return one


def check_rate(line: dict, k: int, n: int) -> None:
    """A line of a CSV has k of n, and SciPy's exact interval."""
    exact = binomtest(int(k), int(n)).proportion_ci(0.95, "exact")
    assert (int(line["k"]), int(line["n"])) == (k, n)
    got = [float(line[name]) for name in ("value", "low", "high")]
    assert got == pytest.approx([k / n, exact.low, exact.high], abs=1e-9)


def probabilities(path: str, images: np.ndarray) -> np.ndarray:
    """What a network without random numbers answers."""
    with torch.no_grad():
        return read(path).module()(torch.from_numpy(images), None).softmax(1).numpy()
